"""Running a whole search from the user's own process: a script, a REPL or a notebook."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.api.connection import load_study, settings_with
from orchestrator.api.views import SilentView, view_here
from orchestrator.common.errors import BadInput, StudyFailed
from tasks.platform_support import refusal

if TYPE_CHECKING:
    import optuna

    from orchestrator.common.settings import Settings
    from orchestrator.common.slot_options import SlotOptions
    from orchestrator.model.search_summary import Summary
    from orchestrator.spec import Spec


def run_here(
    spec: Spec,
    source: str,
    slots: SlotOptions,
    data_dir: str | Path | None,
    progress: bool,
) -> optuna.Study:
    """Runs a search; see ``Search.run``."""
    settings = settings_with("run", {"data_dir": data_dir})
    summary = run_with(settings, spec, source, slots, progress)
    if summary.state == "failed":
        raise StudyFailed(f"study '{spec.name}' failed: {summary.reason}")
    return load_study(spec.name, settings)[0]


def run_with(settings: Settings, spec: Spec, source: str, slots: SlotOptions, progress: bool) -> Summary:
    """Runs a search to its end and returns its summary.

    Args:
        settings: Where the study and its files are kept.
        source: What the spec is called in messages.
        slots, progress: See ``Search.run``, for the errors too.
    """
    if problem := refusal():
        raise BadInput("run", problem)
    from orchestrator.local.interruption import Interrupted
    from orchestrator.local.plan import Plan
    from orchestrator.local.run import run
    from orchestrator.terminal.summary import render_summary

    view = view_here() if progress else SilentView()

    def show(summary: Summary) -> None:
        view.close()
        if progress:
            _print(render_summary(summary, 80))

    try:
        return run(Plan(spec, source, slots, settings, dict(os.environ), None), view, show)
    except Interrupted as error:
        view.close()
        _deliver(error.signum)
        raise KeyboardInterrupt(f"study '{spec.name}' was interrupted; the same call goes on with it") from None
    finally:
        view.close()


def _print(text: str) -> None:
    """Prints to standard output; an output that takes nothing does not fail the search."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    # The reader is gone, the program has closed it, or an object of its own in its place can only write.
    with suppress(OSError, ValueError, AttributeError):
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _deliver(signum: signal.Signals) -> None:
    """Hands a signal that has stopped the search on to the program, whose own handlers are in place again."""
    if signum != signal.SIGINT:
        signal.raise_signal(signum)
