"""``serve`` and ``worker`` with a stamp at every step of the way from a report to the next trial.

``python -m tests.bench.traced FILE serve|worker …``: the production code, some of its methods wrapped. Lines of
``FILE`` are a time (the monotonic clock, which all processes of a machine share), a letter for the process (``C``
control plane, ``W`` the worker's main process, ``K`` keeper) and the step.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

_file = -1


def stamp(step: str) -> None:
    """Writes one line; whole, since the file is only appended to."""
    os.write(_file, f"{time.monotonic():.7f} {step}\n".encode())


def around(owner: Any, name: str, before: str = "", after: str = "", when: Callable[..., bool] | None = None) -> None:
    """Wraps ``owner.name`` with stamps. ``when`` is asked with the result (``None`` before) and the arguments."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before and (when is None or when(None, *arguments)):
            stamp(before)
        result = inner(*arguments, **named)
        if after and (when is None or when(result, *arguments)):
            stamp(after)
        return result

    setattr(owner, name, wrapped)


def trace_serve() -> None:
    from orchestrator.control.progress_publisher import ProgressPublisher
    from orchestrator.control.rounds import Rounds
    from orchestrator.messaging.dispatch import Dispatcher
    from orchestrator.messaging.event_stream import EventStream
    from orchestrator.storage.store import Store
    from tasks.codec import decode_event
    from tasks.contract import Epoch, Verdict

    def has_epoch(entries: list[Any] | None, *_: Any) -> bool:
        bodies = (fields.get(b"e") for _, fields in entries or ())
        return any(isinstance(decode_event(data).body, Epoch) for data in bodies if data)

    def has_verdict(_: Any, _stream: Any, confirmations: dict[str, Any]) -> bool:
        return any(isinstance(each.verdict, Verdict) for each in confirmations.values())

    def writes(_: Any, _store: Any, batches: dict[str, Any], *_rest: Any) -> bool:
        return any(batches.values())

    around(EventStream, "read", after="C read", when=has_epoch)
    around(Rounds, "finish", before="C folded")
    around(Store, "commit", before="C commit", after="C committed", when=writes)
    around(EventStream, "confirm", after="C verdict set", when=has_verdict)
    around(Dispatcher, "revoke", after="C revoke sent")
    around(EventStream, "acknowledge", after="C acknowledged", when=lambda _, __, ids: bool(ids))
    around(ProgressPublisher, "tell", after="C told")
    around(Dispatcher, "send", before="C send", after="C sent")


def trace_worker() -> None:
    from celery.concurrency.base import BasePool
    from celery.worker.request import Request

    from tasks.contract import Confirmation, Epoch
    from tasks.keeper.keeper import Keeper
    from tasks.keeper.publisher import Publisher
    from tasks.keeper.trainer_process import TrainerProcess
    from tasks.keeper.trainer_supervisor import TrainerSupervisor
    from tasks.trainer_messages import Ready, Stop, TrialLeft

    around(Request, "terminate", before="W revoke received", after="W signal sent")
    around(BasePool, "apply_async", before="W task received", after="W task handed over")
    around(Keeper, "run", before="K run", after="K run returned")
    around(Keeper, "_on_signal", before="K signal")
    around(Keeper, "_settle", before="K settling", after="K settled")
    around(Keeper, "_handle", before="K report heard", when=lambda _, *named: isinstance(named[-1], Epoch))
    around(Keeper, "_handle", before="K left heard", when=lambda _, *named: isinstance(named[-1], TrialLeft))
    around(TrainerSupervisor, "handle", before="K trainer ready", when=lambda _, __, frame: isinstance(frame, Ready))
    around(TrainerProcess, "send", after="K stop sent", when=lambda _, __, frame: isinstance(frame, Stop))
    around(Publisher, "_round", before="K round begins", after="K round ended")

    def has_verdict(_: Any, _keeper: Any, _runner: str, confirmation: Confirmation) -> bool:
        return confirmation.verdict is not None

    around(Keeper, "_confirmed", before="K verdict read", when=has_verdict)


def trace_next_task(path: str) -> None:
    """Wraps what the worker's processes do between two trials, and has trainers traced."""
    from celery.worker.request import Request

    from tasks.keeper import trainer_process
    from tasks.keeper.binding import Binding
    from tasks.keeper.keeper import Keeper
    from tasks.keeper.next_task import NextTask
    from tasks.trainer_messages import TrainJob
    from tasks.worker.kombu_transport import Channel
    from tasks.worker.prefetch import KeeperPool, ProcessLoads

    around(NextTask, "expect", before="K expects")
    around(NextTask, "take", before="K takes", after="K taken")
    around(ProcessLoads, "expect", after="W expects")
    around(Channel, "_brpop_start", before="W asks")
    around(Channel, "_hand_over", before="W has it", after="W delivered")
    around(ProcessLoads, "add", after="W written")
    around(KeeperPool, "on_job_ready", before="W result")
    around(Request, "on_accepted", before="W accepted", after="W accepted.")
    around(Keeper, "_publish_started", before="K start", after="K started")
    around(Binding, "is_confirmed", after="K confirmed")
    around(
        trainer_process.TrainerProcess,
        "send",
        before="K sends job",
        after="K job sent",
        when=lambda _, __, frame: isinstance(frame, TrainJob),
    )
    popen = trainer_process.subprocess.Popen

    def traced(command: list[str], **options: Any) -> Any:
        at = command.index("tasks.trainer")
        return popen([*command[:at], "tests.bench.traced", path, "trainer", *command[at + 1 :]], **options)

    trainer_process.subprocess.Popen = traced  # type: ignore[assignment]


def trace_trainer() -> None:
    from tasks.trainer import health, objective_runner, stdio_redirect
    from tasks.trainer.loop import Trainer
    from tasks.trainer.objective_runner import judge

    del judge
    around(Trainer, "_train", before="T job")
    around(Trainer, "_send", before="T send", after="T sent")
    around(health, "take_baseline", before="T baseline", after="T baseline.")
    around(stdio_redirect, "redirect", before="T redirect", after="T redirect.")
    around(objective_runner, "run", before="T run", after="T ran")
    around(health, "find_problem", before="T check", after="T checked")


def main() -> None:
    """Runs the command under trace."""
    global _file
    path, command, *rest = sys.argv[1:]
    _file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if command == "trainer":
        trace_trainer()
        sys.argv = ["tasks.trainer", *rest]
        from tasks.trainer.__main__ import main as trainer

        trainer()
        return
    if command == "worker":
        trace_worker()
        trace_next_task(path)
        from tasks.worker.main import main as worker

        os.environ.pop("ORCHESTRATOR_STORAGE_URL", None)
        sys.exit(worker(rest))
    trace_serve()
    from orchestrator.cli import main as cli

    sys.argv = ["orchestrator", command, *rest]
    cli()


if __name__ == "__main__":
    main()
