"""Guards for processes that the objective forks, or that it sends a copy of its trial: they cannot use the trial."""

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
    """Replaces the channel in a trial that was pickled: the trial can be read there, and raises for anything else."""

    @property
    def stopping(self) -> bool:
        """Read by ``should_prune``."""
        refuse_in_child()

    def __enter__(self) -> NoReturn:
        refuse_in_child()

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return refuse_in_child


def refuse_in_child(*_: object) -> NoReturn:
    """Raises the error of a trial that is used in another process."""
    raise RuntimeError(REFUSAL)


@contextlib.contextmanager
def exit_forked_children(pid: int) -> Iterator[None]:
    """Wraps the call of the objective, from which only process ``pid`` returns.

    A child that the objective forked, and that returns or raises instead of exiting, ends here as Python ends a
    process, so that it never runs the trainer's loop.
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
