"""The only place that knows Optuna's tables and ours."""

from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store

__all__ = ["Store", "WriterLease"]
