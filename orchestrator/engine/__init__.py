"""The pure core: events and state in, rows to write and actions out. No clock, no client, no database."""

from orchestrator.engine.core import ENDED, Snapshot
from orchestrator.engine.outputs import Answer, Batch, Revoke, Send, Sweep
from orchestrator.engine.study import StudyEngine

__all__ = ["ENDED", "Answer", "Batch", "Revoke", "Send", "Snapshot", "StudyEngine", "Sweep"]
