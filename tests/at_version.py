"""``python -m tests.at_version VERSION PROGRAM …``: this program as it would be if it spoke that protocol version.

PROGRAM is ``worker`` or a command of ``orchestrator``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import tasks

NAME = "tasks.contract"


def speak(version: int) -> None:
    """Has everything that is imported from here on speak ``version``."""
    file = Path(tasks.__file__).with_name("contract.py")
    source, count = re.subn(r"(?m)^VERSION: Final = \d+$", f"VERSION: Final = {version}", file.read_text())
    assert count == 1
    module = sys.modules[NAME] = ModuleType(NAME)
    module.__file__ = str(file)
    exec(compile(source, file, "exec"), module.__dict__)
    tasks.contract = module  # type: ignore[attr-defined]


def main() -> int:
    version, program, *arguments = sys.argv[1:]
    assert NAME not in sys.modules
    speak(int(version))
    if program == "worker":
        from tasks.worker.main import main as work

        return work(arguments)
    from orchestrator.cli import main as run

    sys.argv[1:] = [program, *arguments]
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
