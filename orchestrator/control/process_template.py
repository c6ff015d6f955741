"""A process that has Optuna imported already, and makes replica processes by forking itself.

A new interpreter takes a second of a core to import Optuna, and holds all of it once more; a fork takes milliseconds,
and shares that memory. The control plane runs threads by the time it needs a process, so it forks this one first, which
has a single thread for good.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from multiprocessing.connection import Connection, Pipe

from orchestrator.control.replica_process import ProcessHandle
from orchestrator.control.replica_processes import execute
from tasks.process_guards import die_with_parent

_NUMBER = 8
"""Bytes of a number on the socket."""


class ForkedProcess:
    """A replica process that the template has made; see ``Handle``."""

    def __init__(self, template: ProcessTemplate, pid: int, pipe: Connection) -> None:
        self._template = template
        self.pid = pid
        self.pipe = pipe
        self._code: int | None = None
        self._ending = threading.Lock()

    def end(self) -> int:
        with self._ending:
            # One that was waited for has no number of its own any more.
            if self._code is None:
                try:
                    os.killpg(self.pid, signal.SIGKILL)
                except ProcessLookupError:
                    # It has only just been forked, and has no group of its own yet.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        with self._ending:
            if self._code is None:
                self._code = self._template.wait(self.pid)
            return self._code


class ProcessTemplate:
    """Makes replica processes. Create it while this process has one thread."""

    def __init__(self) -> None:
        # What the processes import, so that they share it.
        import orchestrator.sampling.sampler_replica  # noqa: F401

        self._asking = threading.Lock()
        self._socket, theirs = socket.socketpair()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _close_all_but(theirs.fileno())
                _make_processes(theirs, parent)
            finally:
                os._exit(0)
        theirs.close()

    def start(self) -> ProcessHandle:
        """Starts a process; by a new interpreter where the template has ended."""
        ours, theirs = Pipe()
        try:
            with self._asking, theirs:
                socket.send_fds(self._socket, [b"f"], [theirs.fileno()])
                pid = _read_number(self._socket)
        except OSError:
            ours.close()
            return execute()
        return ForkedProcess(self, pid, ours)

    def wait(self, pid: int) -> int:
        """Waits until a process has ended; returns its exit code, negative for a signal."""
        try:
            with self._asking:
                self._socket.sendall(b"w" + pid.to_bytes(_NUMBER, "big"))
                return _read_number(self._socket)
        except OSError:
            # The template has ended, and its processes with it.
            return -signal.SIGKILL

    def close(self) -> None:
        """Ends the template."""
        self._socket.close()
        os.waitpid(self._pid, 0)


def _make_processes(asked: socket.socket, parent: int) -> None:
    """Forks a process for each request, until the socket closes."""
    die_with_parent(parent)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    template = os.getpid()
    while True:
        kind, descriptors, _, _ = socket.recv_fds(asked, 1, 1)
        if not kind:
            return
        if kind == b"w":
            pid = int.from_bytes(asked.recv(_NUMBER, socket.MSG_WAITALL), "big")
            _, status = os.waitpid(pid, 0)
            asked.sendall(os.waitstatus_to_exitcode(status).to_bytes(_NUMBER, "big", signed=True))
            continue
        made = os.fork()
        if made == 0:
            asked.close()
            _run_replicas(descriptors[0], template)
        os.close(descriptors[0])
        asked.sendall(made.to_bytes(_NUMBER, "big", signed=True))


def _close_all_but(kept: int) -> None:
    """Closes what the control plane holds open: a lock on the data folder must not outlive it."""
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 65_536)


def _run_replicas(descriptor: int, template: int) -> None:
    from orchestrator.control.replica_server import serve

    try:
        os.setsid()
        die_with_parent(template)
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        with Connection(descriptor) as pipe:
            serve(pipe)
    finally:
        os._exit(0)


def _read_number(source: socket.socket) -> int:
    data = source.recv(_NUMBER, socket.MSG_WAITALL)
    if len(data) < _NUMBER:
        raise OSError("the process that makes replica processes has ended")
    return int.from_bytes(data, "big", signed=True)
