"""``python -m tasks.trainer FD PARENT [OBJECTIVE [FOLDER ...]]``: started by a keeper, never by hand."""

from __future__ import annotations

import os
import signal
import socket
import sys

from tasks.framed_socket import FramedSocket
from tasks.gc_tuning import rare_collections
from tasks.process_guards import Interrupted, adopt_orphans, die_with_parent, interrupt


def main() -> None:
    """Serves jobs until the keeper is gone. Heavy imports come after the call that binds this process to it."""
    if len(sys.argv) < 3:
        sys.exit("tasks.trainer is started by a worker, which gives it a way to talk; nothing else can start it")
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    preload, code = (sys.argv[3], sys.argv[4:]) if len(sys.argv) > 3 else ("", [])
    die_with_parent(parent)
    # Celery's pool ignores SIGINT, which is inherited over exec, also by processes of the objective. A terminal's
    # Ctrl-C does not arrive here, for this is a session of its own.
    signal.signal(signal.SIGINT, interrupt)
    # Celery's pool blocks nothing, but a signal mask is inherited over exec and would hide the stop signal.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD})
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    # Child processes must not inherit it: it would stay open when this process has died.
    os.set_inheritable(fd, False)
    adopt_orphans()

    with rare_collections():
        from tasks.code_path import add_code_folders
        from tasks.objective_allowlist import Allowlist
        from tasks.objective_path import OBJECTIVE_PATH, code_folders
        from tasks.trainer.launcher_guard import refuse_relaunch
        from tasks.trainer.loop import Trainer

    add_code_folders(code_folders(os.environ.get(OBJECTIVE_PATH, "")))
    refuse_relaunch()
    Trainer(FramedSocket(socket.socket(fileno=fd)), Allowlist.of(os.environ, preload)).serve(preload, code)


if __name__ == "__main__":
    try:
        main()
    except Interrupted:
        # It came outside of an objective. The process ends by SIGINT itself, so that its keeper can tell that from a
        # failure of the trial.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
