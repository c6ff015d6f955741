"""The process that runs samplers and pruner classes: holds replicas of studies, and answers question after question
until its pipe closes.

It is given searches and studies over the pipe, and nothing of the control plane's environment that names a server or a
key.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import MutableMapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from orchestrator.common.errors import BadInput
from orchestrator.common.foreign_classes import said
from orchestrator.common.settings import PREFIX
from orchestrator.pruning.base import RuleFailed
from tasks.process_guards import die_with_parent

OPEN, LOAD, READY, FEED, ASK, CLOSE = range(6)
"""Requests: (kind, study, content). A study goes by a number. A replica is made by ``OPEN``, ``LOAD`` for each piece of
the study, and ``READY``, to which one result is the reply; ``ASK`` has several questions, and a result for each."""

_TOGETHER_SECONDS = 0.001
"""Results that come within this time go in one message: each message costs the control plane as much as an answer."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Several processes that each use all cores take many times as long: 22 s for an answer of ``gp`` instead of 2.8."""


def use_one_thread(environ: MutableMapping[str, str]) -> None:
    """Lets libraries of linear algebra that are imported from now on use one thread, unless the user said otherwise."""
    for name in _THREADS:
        environ.setdefault(name, "1")


def main(descriptor: int, parent: int) -> None:
    """Serves the pipe in a process that was just started.

    Args:
        descriptor: File descriptor of this end of the pipe.
        parent: Process id of the control plane.
    """
    die_with_parent(parent)
    with Connection(descriptor) as pipe:
        serve(pipe)


def serve(pipe: Connection) -> None:
    """Answers until the pipe closes."""
    # A terminal's Ctrl-C is for the control plane, which ends this process in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    use_one_thread(os.environ)
    sys.path[:] = pipe.recv()
    from orchestrator.sampling.pruner_replica import PrunerReplica
    from orchestrator.sampling.sampler_replica import Replica
    from orchestrator.spec import Spec

    logging.disable(logging.CRITICAL)
    replicas: dict[int, Replica | PrunerReplica] = {}
    # By study: the result that stands for all others, as something of it has failed.
    broken: dict[int, tuple[str, Any]] = {}
    pipe.send(("ready", None))
    while True:
        try:
            kind, study, content = pipe.recv()
        except EOFError:
            return
        if kind == CLOSE:
            replicas.pop(study, None)
            broken.pop(study, None)
        elif kind == ASK:
            _answer_all(pipe, replicas.get(study), content, broken.get(study))
        elif study not in broken:
            try:
                if kind == OPEN:
                    role, text, seed = content
                    spec = Spec.from_json(text)
                    replicas[study] = PrunerReplica(spec) if role == "pruner" else Replica(spec, seed)
                elif kind == LOAD:
                    replicas[study].load(content)
                elif kind == FEED and study in replicas:
                    replicas[study].apply(content)
            except BadInput as error:
                broken[study] = "refused", (error.where, error.problem, error.remedy)
            except BaseException as error:
                broken[study] = "failed", said(error)
        if kind == READY:
            pipe.send([broken.get(study, ("opened", None))])


def _answer_all(pipe: Connection, replica: Any, questions: Sequence[Any], broken: tuple[str, Any] | None) -> None:
    """Sends a result for each question, as soon as it is there."""
    results: list[tuple[str, Any]] = []
    sent = time.monotonic()
    for question in questions:
        results.append(broken or _answer(replica, question))
        if time.monotonic() - sent > _TOGETHER_SECONDS:
            pipe.send(results)
            results, sent = [], time.monotonic()
    if results:
        pipe.send(results)


def _answer(replica: Any, question: Any) -> tuple[str, Any]:
    try:
        answer = replica.answer(question)
    except RuleFailed as error:
        return "raised", str(error)
    except BaseException as error:  # no signal raises here: what does is the class
        return "failed", said(error)
    try:
        # What the class wrote to its study has to become rows and a record of the journal.
        return "answer", msgspec.msgpack.encode(answer)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return "unstorable", " ".join(str(error).split())


if __name__ == "__main__":
    use_one_thread(os.environ)
    code = 1
    try:
        main(int(sys.argv[1]), int(sys.argv[2]))
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        # What a class of the user's own has started may still run, and is not waited for.
        os._exit(code & 0xFF)
