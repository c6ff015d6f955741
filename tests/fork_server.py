"""A process that has imported the modules of programs, and forks a process of one of them for each request.

``tests/preloaded.py`` starts it as ``fork_server.py CHANNEL PADDING``, and sends the requests over the socket
CHANNEL. A forked process runs ``python -m PROGRAM`` in every respect but the imports: it has its own environment,
folder, streams and search path, also in the eyes of ``/proc``, and ends as an interpreter ends. Where it would start an
interpreter for another program of ``PROGRAMS``, as a worker does for its trainers, it forks itself in the same way.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.abc
import importlib.machinery
import inspect
import json
import logging
import multiprocessing.util
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

ROOT = str(Path(__file__).parents[1])

LIBRARIES = {
    "orchestrator": ("alembic.context", "optuna.storages._rdb.storage", "psycopg", "sqlalchemy.dialects.sqlite"),
    "tasks.worker": ("celery.concurrency.prefork", "kombu.transport.redis", "celery.worker.consumer"),
    "tasks.trainer": (),
}
"""Modules by program that its libraries import only when they need them."""

LATE = ("torch",)
"""What programs import at a time of their own, which takes over a second."""

PROGRAMS = ("tasks.worker", "tasks.trainer")
"""What a forked process starts by forking itself."""

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

PR_SET_DUMPABLE = 4
"""Option of ``prctl``: whether other processes of the user may look into this one. A worker forbids it."""

BASE: Base
SHELF: Shelf


def main() -> None:
    """Serves requests until the tests' process ends; goes on as the program in each process that it forks."""
    # A program finds its modules by the path of its request. The folder of this file is only in this process's path.
    # Called after whatever is registered from here on.
    atexit.register(leave_modules)
    sys.path[:] = [ROOT, *(entry for entry in sys.path if entry not in ("", str(Path(__file__).parent), ROOT))]
    for program in LIBRARIES:
        preload(program)
    # Of keepers, which have threads.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    global BASE, SHELF
    SHELF = Shelf(LATE)
    sys.meta_path.insert(0, SHELF)
    BASE = Base()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(BASE))
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        request = serve(channel)
    if request is not None:
        become(request["program"], request)


def preload(program: str) -> None:
    """Imports the modules of a program and those that its libraries import late."""
    package = importlib.import_module(program)
    walked = pkgutil.walk_packages(package.__path__, f"{program}.", onerror=lambda _: None)
    own = [module.name for module in walked if not module.name.endswith("__main__")]
    for name in (*LIBRARIES[program], *(name for name in own if not name.startswith(LEFT_OUT))):
        importlib.import_module(name)


class Shelf(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Has imported modules, and keeps them out of sight until a process imports one: the import is as any other, but
    takes no time. Its other modules of the same package are there from then on, and with one of ``names`` all.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        before = sys.modules.copy()
        for name in names:
            importlib.import_module(name)
        self.modules = {name: sys.modules.pop(name) for name in sys.modules.keys() - before.keys()}
        self._specs = {name: module.__spec__ for name, module in self.modules.items()}

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name in self.modules else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        module.__spec__ = self._specs[module.__name__]
        for name, each in self.modules.items():
            if package in self._names or name.partition(".")[0] == package:
                sys.modules.setdefault(name, each)


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
    """Runs a program in this process, with the environment, folder, options and arguments of the request."""
    environment: dict[str, str] = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(request["folder"])
    options: list[str] = request["options"]
    show_in_proc([sys.executable, *options, "-m", program, *request["arguments"]], environment)
    named = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*([] if options else [request["folder"]]), *named, *BASE.path[1:]]
    sys.argv = ["-m", *request["arguments"]]
    # Code of users runs in trainers: what they start is started as ever.
    subprocess.Popen = BASE.popen if program.startswith("tasks.trainer") else ForkingPopen  # type: ignore[misc]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


class Base:
    """What the process that has imported passes on to those that it forks, past the processes between them."""

    def __init__(self) -> None:
        self.path = sys.path.copy()
        self.modules = sys.modules.copy()
        self.popen = subprocess.Popen
        self.process = multiprocessing.current_process()
        self.freeze = gc.freeze
        self.garbage = gc.get_threshold()
        self.loggers = {each: (each.level, each.propagate, each.handlers.copy()) for each in all_loggers()}


def all_loggers() -> list[logging.Logger]:
    named = logging.root.manager.loggerDict.values()
    return [logging.root, *(each for each in named if isinstance(each, logging.Logger))]


class ForkingPopen(subprocess.Popen[Any]):
    """Forks this process where another ``Popen`` would start an interpreter for one of ``PROGRAMS``."""

    def _execute_child(self, *arguments: Any) -> None:
        given = inspect.signature(BASE.popen._execute_child).bind(self, *arguments).arguments  # type: ignore[attr-defined]
        match given["args"]:
            case [sys.executable, "-P", "-m", program, *rest] if program in PROGRAMS:
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(Exception):
                        stream.flush()
                self.pid = os.fork()
                if self.pid == 0:
                    try:
                        start_anew(program, rest, given)
                    except BaseException:
                        traceback.print_exc()
                    finally:
                        os._exit(1)
                self._child_created = True
                ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
                self._close_pipe_fds(*(given[end] for end in ends))  # type: ignore[attr-defined]
            case _:
                super()._execute_child(*arguments)  # type: ignore[misc]


def start_anew(program: str, arguments: list[str], given: dict[str, Any]) -> NoReturn:
    """Runs a program in this process, which was just forked for it, and ends as its interpreter would.

    The functions in which the process was forked never go on: it ends below them.

    Args:
        program, arguments: What follows ``python -P -m``.
        given: The arguments of ``Popen._execute_child`` by name.
    """
    if given["start_new_session"]:
        os.setsid()
    for number, fd in enumerate((given["p2cread"], given["c2pwrite"], given["errwrite"])):
        if fd != -1:
            os.dup2(fd, number)
    let_go_of_files(given["pass_fds"])
    forget()
    environment = os.environ.copy() if given["env"] is None else given["env"]
    folder = os.getcwd() if given["cwd"] is None else os.fspath(given["cwd"])
    request = {"environment": environment, "folder": folder, "options": ["-P"], "arguments": arguments}
    code: object = 0
    try:
        become(program, request)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    leave_modules()
    ctypes.pythonapi.Py_Exit(code)
    raise AssertionError


def leave_modules() -> None:
    """Has what is taken apart at the end be the modules of this program alone: all takes most of a second."""
    for name in (*BASE.modules, *SHELF.modules):
        sys.modules.pop(name, None)
    # And no library takes its own things apart; what it has printed is written.
    library = ctypes.CDLL(None)
    library.on_exit(library._exit, None)
    library.__cxa_atexit(library.fflush, None, None)


def let_go_of_files(kept: Collection[int]) -> None:
    """Leaves open what exec would. The numbers of the others stay in use: objects that hold them may be deleted, and
    close what has such a number then."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd in kept:
            os.set_inheritable(fd, True)
        elif fd > 2 and fd != nothing:
            os.dup2(nothing, fd, inheritable=False)


def forget() -> None:
    """Resets what the processes between the server and this one have set, as exec would."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)

    BASE.freeze()
    # A trainer freezes what it has imported, and lets go of all at its end: of what it shares with others, too, which
    # its last collection would go through, and have the kernel copy.
    gc.freeze = gc.unfreeze = lambda: None
    gc.enable()
    gc.set_threshold(*BASE.garbage)
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    multiprocessing.process._children.clear()  # type: ignore[attr-defined]
    # Billiard's processes are daemons, which may have no children.
    multiprocessing.process._current_process = BASE.process  # type: ignore[attr-defined]
    multiprocessing.process._parent_process = None  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    for name in ("multiprocessing.util", "billiard.util"):
        sys.modules[name]._finalizer_registry.clear()
        atexit.register(sys.modules[name]._exit_function)

    thread = threading.current_thread()
    thread.name, thread._daemonic = "MainThread", False  # type: ignore[attr-defined]
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
    logging.captureWarnings(False)
    for each in all_loggers():
        each.level, each.propagate, handlers = BASE.loggers.get(each, (logging.NOTSET, True, []))
        each.handlers = handlers.copy()
    logging.root.manager._clear_cache()  # type: ignore[attr-defined]
    # Processes that share a generator would draw the same numbers.
    sys.modules["numpy"].random.seed()


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
