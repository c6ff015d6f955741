"""Makes the trainer look like a program of its own to a script, and refuses launchers that would start it again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tasks.code_bundle import split_reference
from tasks.import_statements import file_of

RANKS: Final = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK", "WORLD_SIZE")
"""Variables by which a launcher numbers its processes; they are restored after each trial."""

HELP: Final = (
    "use one device, or a strategy that starts functions and not programs, such as Lightning's 'ddp_spawn' or "
    "'ddp_notebook'"
)


class StartedAgain(RuntimeError):
    """The objective starts its own program again, which on a worker is the trainer."""


def set_script_name(reference: str) -> None:
    """Gives the process the command line of the objective's file, started without arguments."""
    bundled = split_reference(reference)
    sys.argv = [file_of((bundled[1] if bundled else reference).partition(":")[0]) or ""]


def refuse_relaunch() -> None:
    """Refuses, in this process alone, to start or replace this process as if it were a script.

    A launcher that starts the program again for each rank would start a trainer without a keeper, and wait for it; one
    that replaces the process would end the trial without a message.
    """
    own = os.getpid()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("subprocess.Popen", "os.exec") or os.getpid() != own:
            return
        if event == "os.exec":
            raise StartedAgain(
                f"os.exec would replace the training process by {_shown(arguments[1])}; start that with subprocess"
            )
        _, command, _, environment = arguments
        if _is_again(command, environment if isinstance(environment, Mapping) else os.environ):
            raise StartedAgain(
                "the objective starts this program again, as a strategy does that starts it once for each rank; on a "
                f"worker that is not the objective: {HELP} (the command was {_shown(command)})"
            )

    sys.addaudithook(hook)


def launcher_variables() -> dict[str, str]:
    """Returns the variables of a launcher."""
    return {name: os.environ[name] for name in RANKS if name in os.environ}


def restore_launcher_variables(before: Mapping[str, str]) -> None:
    """Restores the variables of a launcher."""
    for name in RANKS:
        os.environ.pop(name, None)
    os.environ.update(before)


def _is_again(command: object, environment: Mapping[str, str]) -> bool:
    if isinstance(command, str | bytes) or not isinstance(command, Sequence):
        return False
    words = [os.fsdecode(word) for word in command if isinstance(word, str | bytes | os.PathLike)]
    if not words or not Path(words[0]).name.startswith("python"):
        return False
    if "-m" in words:
        return f"{' '.join(words[words.index('-m') + 1 :])} ".startswith(("tasks.trainer ", "tasks.trainer.__main__ "))
    # The objective may start scripts, its own file too; but not as one of several ranks.
    ranked = any(name in environment for name in ("LOCAL_RANK", "RANK"))
    return ranked and any(os.path.abspath(word) == sys.argv[0] for word in words[1:] if word.endswith(".py"))


def _shown(command: object) -> str:
    if isinstance(command, Sequence) and not isinstance(command, str | bytes):
        return f"'{shlex.join(os.fsdecode(word) for word in command if isinstance(word, str | bytes))}'"[:300]
    return f"{command!r:.300}"
