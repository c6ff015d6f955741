"""The process of a program: started in a group of its own, read while it runs, ended with all that it started."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

REPORT_FD: Final = "ORCHESTRATOR_REPORT_FD"
TAKEN_FD: Final = "ORCHESTRATOR_TAKEN_FD"
"""Variables with the numbers of the descriptors that a program reports on, and on which it gets an empty line when a
checkpoint that it has reported is taken."""

_REPORTS, _TAKEN, _FIRST_FREE = 3, 4, 10
CHUNK = 1 << 16
TAIL_BYTES = 16 << 10
TAIL_LINES = 20
_RUN_BY = '["bash", "%s"]'
_LONGEST_LINE = 256
_SHELLS_SIGNALS = 128
"""A shell gives this plus the number of a signal as its exit code when that ended its command."""


class ProgramMissing(RuntimeError):
    """The program cannot be started."""


class ProgramFailed(RuntimeError):
    """The program ended with an exit code that is not 0."""


class ProgramDied(RuntimeError):
    """A signal ended the program.

    Attributes:
        exit_code: Minus the number of the signal.
    """

    def __init__(self, signum: int, last: str) -> None:
        super().__init__(f"ended by {_name(signum)}{last}")
        self.exit_code = -signum


def search_path(environ: Mapping[str, str]) -> str:
    """Returns the PATH on which programs are found: that of this process behind the scripts of its own Python."""
    return os.pathsep.join(filter(None, [os.path.dirname(sys.executable), environ.get("PATH", os.defpath)]))


def find_program(name: str, environ: Mapping[str, str]) -> str:
    """Returns the path of a program, ``python`` being this one's own.

    Raises:
        ProgramMissing: there is none, or it cannot be run.
    """
    found = shutil.which(name, path=search_path(environ))
    if found is None:
        where = "is no file that can be run" if "/" in name else "is on no folder of the PATH"
        if "/" in name and os.path.isfile(name):
            where = "may not be executed: it lacks the mode, which chmod +x gives"
        raise ProgramMissing(f"the program '{name:.200}' {where}")
    return found


class ProgramProcess:
    """A running program, with a pipe for its reports, one for what it is told, and one for its output if that is read.

    It has the first two as descriptors 3 and 4: a plain shell redirects to descriptors of one digit alone.

    Args:
        words: The program and its arguments.
        environment: Its whole environment.
        read_output: Whether its output is read here, or goes to where this process's own goes.

    Raises:
        ProgramMissing: it cannot be started.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], *, read_output: bool) -> None:
        self._log_start = _log_size()
        self._exit_code: int | None = None
        variables = {"PATH": search_path(environment), REPORT_FD: str(_REPORTS), TAKEN_FD: str(_TAKEN)}
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._reports, report = _pipe(ours, theirs)
            told, self._taken = _pipe(theirs, ours)
            inherited = [(report, _REPORTS), (told, _TAKEN)]
            self._output = -1
            if read_output:
                self._output, output = _pipe(ours, theirs)
                inherited += [(output, 1), (output, 2)]
            for own in (self._reports, self._taken, self._output):
                if own >= 0:
                    os.set_blocking(own, False)
            actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, descriptor, number) for descriptor, number in inherited]
            try:
                self._pid = os.posix_spawn(
                    find_program(words[0], environment),
                    list(words),
                    {**environment, **variables},
                    file_actions=actions,
                    setpgroup=0,
                    setsigmask=(),
                    # What this process ignores, or its interpreter does.
                    setsigdef=(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGUSR2),
                )
            except (OSError, ValueError) as error:
                raise ProgramMissing(f"'{words[0]:.200}' cannot be started: {_why_not(error, words[0])}") from None
            self._ended = os.pidfd_open(self._pid)
            ours.callback(os.close, self._ended)
            self._close = ours.pop_all().close

    def tell_taken(self) -> None:
        """Tells the program that its checkpoint is taken and may be overwritten."""
        # One that never reads this is not waited for.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._taken, b"\n")

    def read(self, on_report: Callable[[bytes], None], on_output: Callable[[bytes], None]) -> None:
        """Passes on what the program writes, until it has ended and all that it has written is read."""
        with selectors.DefaultSelector() as selector:
            for descriptor, handle in ((self._reports, on_report), (self._output, on_output)):
                if descriptor >= 0:
                    selector.register(descriptor, selectors.EVENT_READ, handle)
            selector.register(self._ended, selectors.EVENT_READ)
            over = False
            while not over:
                ready = [key for key, _ in selector.select()]
                # What it has written before it ended comes first. Its children may hold the pipes open for ever.
                over = any(key.fd == self._ended for key in ready)
                for key in list(selector.get_map().values()) if over else ready:
                    if key.fd != self._ended and not _pass_on(key.fd, key.data, to_the_end=over):
                        selector.unregister(key.fd)

    def end(self, grace: float) -> None:
        """Ends the program and its process group: SIGTERM, and SIGKILL where it is still there after ``grace`` seconds.

        Where the program has ended by itself, what it has left in its group is killed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            if not selector.select(0):
                self._signal(signal.SIGTERM)
                selector.select(grace)
        # Its process id is taken as long as it was not waited for.
        self._signal(signal.SIGKILL)
        self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._close()

    def check(self) -> None:
        """Checks the exit code of a program that has ended by itself.

        Raises:
            ProgramFailed: it is not 0.
            ProgramDied: a signal has ended it, or the last command of a shell.
        """
        code = self._exit_code or 0
        if code == 0:
            return
        lines = [line for line in _log_tail(self._log_start).splitlines() if line.strip()][-TAIL_LINES:]
        last = f": {lines[-1].strip():.500}" if lines else ""
        if code < 0 or code == _SHELLS_SIGNALS + signal.SIGKILL:
            raise ProgramDied(-code if code < 0 else signal.SIGKILL, last)
        error = ProgramFailed(f"exit code {code}{last}")
        error.add_note("the last lines of its output:\n" + "\n".join(lines))
        raise error

    def _signal(self, signum: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signum)


def _why_not(error: OSError | ValueError, name: str) -> str:
    """Returns why a file that may be executed did not start: the system's words leave its first line out."""
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return (
            f"it is no program, and no first line #!… names what runs it; name that before it, as in {_RUN_BY % name}"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        with contextlib.suppress(OSError, UnicodeDecodeError), open(name, "rb") as file:
            first = file.readline(_LONGEST_LINE).decode().removesuffix("\n")
            if first.startswith("#!"):
                return f"there is no {first[2:].strip(' ')!r}, which its first line names"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Returns the two ends of a pipe, each closed by its stack. They are above the numbers that a program gets."""
    ends = []
    for end, stack in zip(os.pipe(), (reader, writer), strict=True):
        moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        os.close(end)
        stack.callback(os.close, moved)
        ends.append(moved)
    return ends[0], ends[1]


def _pass_on(descriptor: int, handle: Callable[[bytes], None], *, to_the_end: bool) -> bool:
    """Passes on what can be read; returns whether more may come."""
    for data in _available(descriptor):
        if not data:
            return False
        handle(data)
        if not to_the_end:
            return True
    return True


def _available(descriptor: int) -> Iterator[bytes]:
    with contextlib.suppress(BlockingIOError):
        while True:
            data = os.read(descriptor, CHUNK)
            yield data
            if not data:
                return


def _log_size() -> int:
    """Returns the size of the trial's log, which is this process's standard error."""
    with contextlib.suppress(OSError):
        return os.fstat(2).st_size
    return 0


def _log_tail(start: int) -> str:
    """Returns the end of what was written to the trial's log behind ``start``; nothing where that cannot be read."""
    with contextlib.suppress(OSError), Path("/proc/self/fd/2").open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(start, size - TAIL_BYTES))
        return file.read(TAIL_BYTES).decode(errors="replace")
    return ""


def _name(signum: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(signum).name
    return f"signal {signum}"
