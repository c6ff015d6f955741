"""Runs commands of ``orchestrator`` in forks of a server process that has imported the command line already.

Imports are most of what a short command costs. A test of what a command prints or does calls ``run`` here; a test of
how it starts, or of a command that runs other processes, starts a new interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PRELOADED = (
    "orchestrator.cli",
    "orchestrator.messaging.command_client",
    "orchestrator.queries.readonly",
    "orchestrator.queries.replay",
    "orchestrator.spec.objective_check",
    "orchestrator.spec.sampler_factory",
)

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(PRELOADED))


def run(
    *arguments: str, environment: Mapping[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs ``orchestrator`` with these arguments to its end, ``seconds`` at the most, in ``folder``."""
    with tempfile.TemporaryDirectory() as place:
        streams = Path(place, "stdout"), Path(place, "stderr")
        process = _context.Process(target=_become, args=(arguments, dict(environment), folder, streams))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, seconds)
        code = process.exitcode
        process.close()
        stdout, stderr = (stream.read_text(errors="replace") for stream in streams)
        return subprocess.CompletedProcess(arguments, code, stdout, stderr)


def _become(arguments: tuple[str, ...], environment: dict[str, str], folder: Path, streams: tuple[Path, Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for fd, path in enumerate(streams, start=1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, fd)
        os.close(opened)
    sys.argv = ["orchestrator", *arguments]
    sys.path[:0] = [str(folder), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    from orchestrator.cli import main

    main()
