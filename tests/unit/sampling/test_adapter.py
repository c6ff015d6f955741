"""Any pruner of Optuna's kind decides as a rule what it decides in a plain Optuna study."""

from __future__ import annotations
