"""The pure core: events and state in, rows to write and actions out. No clock, no client, no database."""

from orchestrator.engine.outputs import Answer, Batch, Revoke, Send
from orchestrator.engine.study import ENDED, Snapshot, StudyEngine

__all__ = ["ENDED", "Answer", "Batch", "Revoke", "Send", "Snapshot", "StudyEngine"]
