"""A shell of a user who has installed the program, has set no variable, and types the commands of the pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fleet import PATIENCE, ROOT

from tests import stand_ins

PROGRAMS = {
    "orchestrator": f'exec "{sys.executable}" -m orchestrator "$@"',
    "python": f'exec "{sys.executable}" "$@"',
}


def environment(programs: Path) -> dict[str, str]:
    """Returns the user's environment.

    Args:
        programs: A folder that is made here and comes first on the path. ``orchestrator`` and ``python`` lie in it, and
            stand-ins for what the pages call and the machine lacks.
    """
    stand_ins.make(programs)
    for name, line in PROGRAMS.items():
        stand_ins.write_script(programs / name, line)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    # The code beside the tests is what runs, wherever else it is installed.
    return clean | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run_script(
    text: str, folder: Path, environment: dict[str, str], shell: str = "sh"
) -> subprocess.CompletedProcess[str]:
    """Runs ``text`` in a shell, or in Python, up to the first line that fails."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-"] if shell == "python" else [shell, "-eu"],
        input=text,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
