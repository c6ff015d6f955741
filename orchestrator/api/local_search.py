"""Running a whole search from the user's own process: a script, a REPL or a notebook."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.api.connection import load_study, settings_with
from orchestrator.api.spec_input import check_sampler_and_pruner
from orchestrator.api.views import SilentView, view_here
from orchestrator.common.errors import BadInput, StudyFailed
from tasks.platform_support import refusal

if TYPE_CHECKING:
    import optuna

    from orchestrator.common.settings import Settings
    from orchestrator.common.slot_options import SlotOptions
    from orchestrator.model.search_summary import Summary
    from orchestrator.spec import Spec
    from orchestrator.terminal.views import View


def run_in_program(
    spec: Spec,
    source: str,
    slots: SlotOptions,
    data_dir: str | Path | None,
    progress: bool,
) -> optuna.Study:
    """Runs a search; see ``Search.run``."""
    settings = settings_with("run", {"data_dir": data_dir})
    summary = _run(settings, spec, source, slots, progress)
    if summary.state == "failed":
        raise StudyFailed(f"study '{spec.name}' failed: {summary.reason}")
    return load_study(spec.name, settings)[0]


def resume_in_program(settings: Settings, spec: Spec, source: str, slots: SlotOptions, progress: bool) -> Summary:
    """Runs a search whose spec was read from the database; see ``StudyHandle.resume``."""
    check_sampler_and_pruner(spec, source)
    return _run(settings, spec, source, slots, progress)


def _run(settings: Settings, spec: Spec, source: str, slots: SlotOptions, progress: bool) -> Summary:
    """Runs a search to its end in a program of the user's, and returns its summary."""
    if problem := refusal():
        raise BadInput("run", problem)
    from orchestrator.local.interruption import Interrupted
    from orchestrator.terminal.summary import render_summary

    def show(summary: Summary) -> None:
        if progress:
            _print(render_summary(summary, 80))

    try:
        return run_with(settings, spec, source, slots, view_here() if progress else SilentView(), show)
    except Interrupted as error:
        _deliver(error.signum)
        raise KeyboardInterrupt(f"study '{spec.name}' was interrupted; the same call goes on with it") from None


def run_with(
    settings: Settings,
    spec: Spec,
    source: str,
    slots: SlotOptions,
    view: View,
    show: Callable[[Summary], None],
    command_line: Callable[[Sequence[str]], object] | None = None,
) -> Summary:
    """Runs a search to its end and returns its summary.

    Args:
        settings: Where the study and its files are kept.
        spec, source: The search, and what it is called in messages.
        slots: The slots of its worker.
        view: Shows it, and is closed at its end.
        show: Takes the summary, before the processes have ended.
        command_line: Of a process that is the command line's own; see ``Plan``.
    """
    from orchestrator.local.plan import Plan
    from orchestrator.local.run import run

    def end(summary: Summary) -> None:
        view.close()
        show(summary)

    try:
        return run(Plan(spec, source, slots, settings, dict(os.environ), command_line), view, end)
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
