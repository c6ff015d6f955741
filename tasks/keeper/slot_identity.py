"""Where a keeper works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.keeper.checkpoints import local_folder
from tasks.objective_allowlist import Allowlist


@dataclass(frozen=True)
class Slot:
    """Where a keeper works: its number, what its trainer's environment is, and where output and checkpoints go.

    ``mark`` is what its trainers and all that they start are known by, and nothing else on this host; ``queues`` are
    those that it serves; ``checkpoints`` is what ``ORCHESTRATOR_CHECKPOINT_URL`` names, ``artifacts`` what
    ``ORCHESTRATOR_ARTIFACT_URL`` does; ``admission`` is what may be run.
    """

    index: int
    name: str
    mark: str
    device: str
    environment: dict[str, str]
    data: Path
    checkpoints: str
    artifacts: str
    admission: Allowlist
    queues: tuple[str, ...] = ()
    preload: str = ""

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def folders(self) -> list[Path]:
        """Folders of this host's own that a trial's files are written to."""
        stores = map(local_folder, (self.checkpoints, self.artifacts))
        return [self.logs, self.scratch, *(folder for folder in stores if folder is not None)]

    @property
    def scratch(self) -> Path:
        """Folder for what is on its way to or from a store elsewhere, shared with other keepers."""
        return self.data / "scratch"
