"""Files of a simulated search: stores of checkpoints and artifacts, and reports."""

from __future__ import annotations

from orchestrator.engine.outputs import Sweep
from tests.simulated.course import Files


class MemoryFiles:
    """Stores of checkpoints and artifacts. Deleting a file twice is harmless, as in a real store."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def delete(self, location: str) -> None:
        self._files.there.discard(location)
        self._files.artifacts.discard(location)

    def delete_folder(self, location: str) -> None:
        del location

    def sweep(self, sweep: Sweep) -> None:
        self._files.drop_artifacts([], sweep)

    @property
    def idle(self) -> bool:
        return True

    def close(self) -> None:
        pass


class MemoryReports:
    """Reports that are written at once, except those of the studies in ``unwritable``."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.deleted: list[str] = []
        self.unwritable: set[str] = set()
        self.idle = True

    def ask(self, study: str) -> str | None:
        if study in self.unwritable:
            return "failed: somehow"
        self.written.append(study)
        return f"reports/{study}/report.html"

    def delete(self, study: str) -> None:
        self.deleted.append(study)

    @property
    def has_news(self) -> bool:
        return False

    def close(self) -> None:
        pass
