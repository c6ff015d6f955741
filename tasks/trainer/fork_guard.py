"""Other processes than the one that runs the objective: those it forks, and those that it sends a copy of its trial."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

REFUSAL = (
    "a trial hears and says nothing in a child process: report, suggest and set what is new in the process that runs "
    "the objective"
)


class ChildProcessStub:
    """Takes the trainer's place in a trial that was pickled: what is known of the trial can be read, and no more."""

    @property
    def stopping(self) -> bool:
        """What a trial asks to say whether it is to be pruned."""
        refuse_in_child()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return refuse_in_child


def refuse_in_child(*_: object) -> NoReturn:
    """Raises what a trial says to everybody who speaks to it in another process."""
    raise RuntimeError(REFUSAL)


@contextlib.contextmanager
def exit_forked_children(pid: int) -> Iterator[None]:
    """The objective's call: only process ``pid`` comes back from it.

    A child that the objective forked and that returns or raises instead of exiting is ended as Python ends a process,
    so that it never runs the trainer's loop.
    """
    try:
        yield
    except BaseException as error:
        if os.getpid() != pid:
            _exit(error)
        raise
    if os.getpid() != pid:
        _exit(None)


def _exit(error: BaseException | None) -> NoReturn:
    code = 0 if error is None else 1
    with contextlib.suppress(Exception):
        if isinstance(error, SystemExit):
            if error.code is None or isinstance(error.code, int):
                code = error.code or 0
            else:
                print(error.code, file=sys.stderr)
        elif error is not None:
            traceback.print_exception(error)
        else:
            print("a process that the objective forked has come back from it, and ends here", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)
