"""Optuna, imported as a notebook's user wants to see it."""

from __future__ import annotations

import warnings


def import_optuna() -> None:
    """Imports Optuna without a library's advice to install widgets for a notebook, which nothing here uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna  # noqa: F401
