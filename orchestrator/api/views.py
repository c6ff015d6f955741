"""The view of a study that suits where this process prints: a terminal, or lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.progress_events import Notice
    from orchestrator.terminal.views import View


def view_here() -> View:
    """Returns the view that `orchestrator run` has."""
    if sys.stderr is None:
        return SilentView()
    from orchestrator.terminal.views import make_view

    return make_view(sys.stderr)


class SilentView:
    """Shows nothing."""

    def show(self, notice: Notice, now: float) -> None:
        """Takes a notice; see ``View.show``."""

    def say(self, text: str) -> None:
        """Takes a message."""

    def close(self) -> None:
        """Nothing is held back."""
