"""A process that has imported a program's modules, and forks a process of that program for each request.

``tests/preloaded.py`` starts it as ``fork_server.py CHANNEL PROGRAM PADDING``, and sends the requests over the socket
CHANNEL. A forked process runs ``python -m PROGRAM`` in every respect but the imports: it has its own environment,
folder, streams and search path, also in the eyes of ``/proc``, and ends as an interpreter ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).parents[1])

LIBRARIES = {
    "orchestrator": ("alembic.context", "optuna.storages._rdb.storage", "psycopg", "sqlalchemy.dialects.sqlite"),
    "tasks.worker": ("celery.concurrency.prefork", "kombu.transport.redis", "celery.worker.consumer"),
}
"""Modules by program that its libraries import only when they need them."""

LEFT_OUT = (
    # Few commands need them, and their libraries take long to import.
    "orchestrator.export",
    "orchestrator.report",
    "orchestrator.web",
    # No modules, but programs and templates.
    "orchestrator.__main__",
    "orchestrator.spec.starter",
    "orchestrator.storage.migrations.env",
    "orchestrator.storage.migrations.versions",
)

LONGEST_REQUEST = 1 << 20
"""Bytes."""


def main() -> None:
    """Serves requests until the tests' process ends; goes on as the program in each process that it forks."""
    # A program finds its modules by the path of its request. The folder of this file is only in this process's path.
    sys.path[:] = [ROOT, *(entry for entry in sys.path if entry not in ("", str(Path(__file__).parent), ROOT))]
    program = sys.argv[2]
    preload(program)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        request = serve(channel)
    if request is not None:
        become(program, request)


def preload(program: str) -> None:
    """Imports the modules of a program and those that its libraries import late."""
    package = importlib.import_module(program)
    walked = pkgutil.walk_packages(package.__path__, f"{program}.", onerror=lambda _: None)
    own = [module.name for module in walked if not module.name.endswith("__main__")]
    for name in (*LIBRARIES[program], *(name for name in own if not name.startswith(LEFT_OUT))):
        importlib.import_module(name)


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Forks a process for each request and tells its id, and later its exit code; returns the request in that process.

    Returns ``None`` when the other end of the channel is closed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, waker = socket.socketpair()
    for each in (woken, waker):
        each.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reports: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([channel, woken], [], [])
        if woken in readable:
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
            report_ended(reports)
        if channel in readable:
            message, fds, _, _ = socket.recv_fds(channel, LONGEST_REQUEST, 3)
            if not message:
                return None
            stdout, stderr, report = fds
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for number, fd in enumerate((stdout, stderr), start=1):
                    os.dup2(fd, number)
                for fd in (*fds, *reports.values()):
                    os.close(fd)
                woken.close()
                waker.close()
                request: dict[str, Any] = json.loads(message)
                return request
            reports[pid] = report
            os.close(stdout)
            os.close(stderr)
            channel.send(str(pid).encode())


def report_ended(reports: dict[int, int]) -> None:
    """Writes the exit codes of processes that have ended, each to the pipe that was sent for it."""
    for pid in list(reports):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            fd = reports.pop(pid)
            # The tests may have closed their end.
            with contextlib.suppress(BrokenPipeError):
                os.write(fd, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(fd)


def become(program: str, request: dict[str, Any]) -> None:
    """Runs the program in this process, with the environment, folder and arguments of the request."""
    environment: dict[str, str] = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(request["folder"])
    options = ["-P"] if sys.flags.safe_path else []
    command = [sys.executable, *options, "-m", program, *request["arguments"]]
    show_in_proc(command, environment)
    named = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:1] = [*([] if options else [request["folder"]]), *named]
    sys.argv = ["-m", *request["arguments"]]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def show_in_proc(command: list[str], environment: dict[str, str]) -> None:
    """Writes a command line and an environment to where the kernel looks for those of this process.

    Both replace what this process was started with, and are cut where they are longer.
    """
    # Fields 48 to 51 of proc(5): where the arguments begin and end, and where the environment does.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:49]
    arguments_begin, arguments_end, environment_begin, environment_end = map(int, fields)
    pairs = [f"{name}={value}" for name, value in environment.items()]
    for begin, end, texts in (
        (arguments_begin, arguments_end, command),
        (environment_begin, environment_end, pairs),
    ):
        block = b"".join(os.fsencode(text) + b"\0" for text in texts)[: end - begin - 1]
        ctypes.memset(begin, 0, end - begin)
        ctypes.memmove(begin, block, len(block))


if __name__ == "__main__":
    main()
