"""A process that a run starts, and that ends with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.common.errors import reason_of
from orchestrator.common.signals import ending_signals
from tasks.process_guards import die_with_parent, wait_for_exit
from tasks.trial_files import open_log, open_regular

STOP_SECONDS = 15.0


def last_words(text: str) -> str:
    """Returns the last error of a log.

    That is the command line's own error, or the exception of the last traceback, even if other lines follow it, or else
    the last line that is not blank.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index]
        if line.startswith("orchestrator: "):
            return line
        if line.lstrip().startswith("Traceback (most recent call last)"):
            depth = len(line) - len(line.lstrip())
            same = (each for each in lines[index + 1 :] if len(each) - len(each.lstrip()) <= depth)
            return next(same, lines[-1]).strip()
    return lines[-1].strip() if lines else ""


class ChildProcess(ABC):
    """A child process, in a session of its own so that Ctrl-C reaches only its parent.

    Args:
        name: Its name in messages.
        log: File that takes its output.

    Attributes:
        told: Whether it was told to end.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.told = False
        log.parent.mkdir(parents=True, exist_ok=True)

    @property
    @abstractmethod
    def pid(self) -> int: ...

    @abstractmethod
    def ended(self) -> int | None:
        """Returns the exit code of a process that has ended, else ``None``."""

    @abstractmethod
    def _wait(self, seconds: float | None) -> None:
        """Waits for its end, at most so long."""

    def last_words(self) -> str:
        """Returns the last error of its log; see the function of this name."""
        try:
            with os.fdopen(open_regular(self.log), errors="replace") as file:
                text = file.read()
        except OSError as error:
            return f"its log cannot be read: {reason_of(error)}"
        return last_words(text)

    def begin_stop(self) -> None:
        """Sends SIGTERM, once."""
        if not self.told and self.ended() is None:
            self.told = True
            os.kill(self.pid, signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Sends SIGTERM, and after ``seconds`` SIGKILL to its whole session."""
        self.begin_stop()
        self._wait(seconds)
        self.kill()
        self._wait(None)

    def kill(self) -> None:
        """Sends SIGKILL to its whole session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class SpawnedChild(ChildProcess):
    """A new interpreter, which shares nothing with this process.

    Args:
        name, log: See the base class.
        arguments: Python's arguments; ``--parent PID`` is added, so that it ends with this process.
        environment: Its whole environment.
        inherit: Descriptor that it holds open as long as it lives.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, inherit: int
    ) -> None:
        super().__init__(name, log)
        with os.fdopen(open_log(log), "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", *arguments, "--parent", str(os.getpid())],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(inherit,),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        return self._process.poll()

    def _wait(self, seconds: float | None) -> None:
        wait_for_exit(self._process, seconds)


class ForkedChild(ChildProcess):
    """A fork of this process, which has what this one has imported. Make it while this process has one thread.

    Args:
        name, log: See the base class.
        main: Runs in the child, with its environment; the exit code is that of a program.
        environment: Its whole environment.
    """

    def __init__(self, name: str, main: Callable[[], object], environment: Mapping[str, str], log: Path) -> None:
        super().__init__(name, log)
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=_run_forked, args=(os.getpid(), main, dict(environment), log), name=name)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "it is started when it is made"
        return self._process.pid

    def ended(self) -> int | None:
        return self._process.exitcode

    def _wait(self, seconds: float | None) -> None:
        self._process.join(seconds)


def _run_forked(parent: int, main: Callable[[], object], environment: dict[str, str], log: Path) -> None:
    """Makes the process what a new one would be: session, signals, environment, output."""
    os.setsid()
    for number in ending_signals():
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(parent)
    os.environ.clear()
    os.environ.update(environment)
    with open(os.devnull, "rb") as nothing, os.fdopen(open_log(log), "ab") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    # The streams of this process may have been taken over, and have locks.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    main()
