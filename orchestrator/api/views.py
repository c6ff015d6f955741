"""The view of a study that suits where this process prints: a notebook, a terminal, or lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.progress_events import Notice
    from orchestrator.terminal.views import View


def view_here() -> View:
    """Returns tables and plots that are redrawn in place in a notebook, else the view that `orchestrator run` has."""
    if in_notebook():
        from orchestrator.api.notebook_view import NotebookView

        return NotebookView()
    if sys.stderr is None or getattr(sys.stderr, "closed", False):
        return SilentView()
    from orchestrator.terminal.views import make_view

    return make_view(sys.stderr)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can show HTML."""
    # IPython is no dependency: where it has not been imported, this is no notebook.
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class SilentView:
    """Shows nothing."""

    def show(self, notice: Notice, now: float) -> None:
        """Takes a notice; see ``View.show``."""

    def say(self, text: str) -> None:
        """Takes a message."""

    def close(self) -> None:
        """Nothing is held back."""
