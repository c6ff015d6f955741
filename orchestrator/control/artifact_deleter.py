"""The artifact store as the control plane uses it: it deletes, and knows where a file lies."""

from __future__ import annotations

import contextlib
import posixpath

from orchestrator.control.background_deleter import Bin
from orchestrator.engine.outputs import Sweep


class ArtifactBin(Bin):
    """Where models and other files of trials are thrown.

    Args:
        url: What ``ORCHESTRATOR_ARTIFACT_URL`` names.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "an artifact")

    def throw(self, id: str) -> None:
        """Deletes a file."""
        self._jobs.put(lambda: self._delete(id))

    def sweep(self, sweep: Sweep) -> None:
        """Deletes what nobody knows of."""
        self._jobs.put(lambda: self._sweep(sweep))

    def _sweep(self, sweep: Sweep) -> None:
        if not sweep.attempts:
            return
        self._files.invalidate_cache()
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = [posixpath.basename(path) for path in self._files.ls(self._root, detail=False)]
        for name in names:
            # An id is that of the attempt, a dash, and what makes it unique.
            if name not in sweep.kept and name.rpartition("-")[0] in sweep.attempts:
                self._delete(name)
