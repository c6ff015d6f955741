"""The process that runs one study's own pruner class: answers question after question until its pipe closes.

It is given the search and the import path over the pipe, and nothing of the control plane's environment that names a
server or a key.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from orchestrator.common.errors import BadInput
from orchestrator.pruning.base import RuleFailed
from tasks.process_guards import die_with_parent


def main(descriptor: int, parent: int) -> None:
    """Serves the pipe.

    Args:
        descriptor: File descriptor of this end of the pipe.
        parent: Process id of the control plane.
    """
    die_with_parent(parent)
    # A terminal's Ctrl-C is for the control plane, which ends this process in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as pipe:
        spec, path = pipe.recv()
        sys.path[:] = path
        from orchestrator.sampling.pruner_host import Judge
        from orchestrator.spec import Spec

        try:
            judge = Judge(Spec.from_json(spec))
        except BadInput as error:
            pipe.send(("refused", (error.where, error.problem, error.remedy)))
            return
        pipe.send(("ready", None))
        while True:
            try:
                question: Any = pipe.recv()
            except EOFError:
                return
            try:
                # What the pruner wrote to its study has to become rows and a record of the journal.
                answer = msgspec.msgpack.encode(judge.answer(question))
            except RuleFailed as error:
                pipe.send(("failed", str(error)))
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                pipe.send(("unstorable", str(error)))
            else:
                pipe.send(("answer", answer))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
    # What the class has started may still run, and is not waited for.
    os._exit(0)
