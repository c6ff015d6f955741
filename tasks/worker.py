"""``python -m tasks.worker``: a Celery worker whose pool processes are keepers.

It knows three URLs: that of Redis, from ``ORCHESTRATOR_REDIS_URL``, where checkpoints are kept, from
``ORCHESTRATOR_CHECKPOINT_URL``, and where models and other files are, from ``ORCHESTRATOR_ARTIFACT_URL``. Of a database
it knows nothing. What it runs is found by ``ORCHESTRATOR_OBJECTIVE_PATH``, admitted by ``ORCHESTRATOR_OBJECTIVES``, and
signed where there is an ``ORCHESTRATOR_SIGNING_KEY``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import billiard.pool
import celery
import celery.apps.worker
import redis
from billiard.process import current_process
from billiard.util import get_logger as get_pool_logger
from celery import bootsteps, signals
from celery.worker.consumer.tasks import Tasks

from tasks import delivery, keys, log_lines, remote_control, train
from tasks.admission import OBJECTIVES, Admission, NotAList
from tasks.app import STOP_SIGNAL, connect, create_app
from tasks.codec import encode
from tasks.contract import Event, Revoked
from tasks.endpoint import BadSetting, endpoint_of
from tasks.exposition import Exposition
from tasks.frames import Preloaded
from tasks.joining import refusal
from tasks.keeper.checkpoints import Unusable, check_url
from tasks.keeper.devices import (
    ARTIFACT_URL,
    CHECKPOINT_URL,
    device_name,
    grouped,
    slot_count,
    slot_environment,
    visible_gpus,
)
from tasks.keeper.keeper import Keeper
from tasks.keeper.meters import Meters
from tasks.keeper.slot import Slot
from tasks.keeper.slots import Slots
from tasks.lifeline import die_with_parent, keep_secrets
from tasks.objective_path import OBJECTIVE_PATH, NoFolder, check_folders, split_path
from tasks.retirement import Retirement
from tasks.signing import Keyring, Purpose
from tasks.worker_metrics import make_worker_registry

log = logging.getLogger("tasks.worker")

PRELOAD_SECONDS = 600

LAST_WORD_TENTHS = 20
"""Tenths of a second for which a pool process that ends waits until Celery's main process has taken what came of its
tasks; 30 s in billiard. Of one that was received just before the worker was told to stop, it takes nothing any more:
it has forgotten the task, the broker will bring it again, and whoever gets it is told that it is done with."""


class ConsumeWhenFree(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes a task from the queue only while a keeper is really free, and none once the worker retires.

    Celery counts a slot as free as soon as its task is revoked; a trainer that takes its time to leave would make
    the next task wait here while a slot elsewhere idles.
    """

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        slots: Slots = consumer.app.conf.slots
        retirement: Retirement = consumer.app.conf.retirement
        retirement.attach(consumer.hub)
        qos = consumer.task_consumer.channel.qos
        may_consume = qos.can_consume
        qos.can_consume = lambda: not retirement.begun and slots.busy() < slots.count and may_consume()


class Refused(Exception):
    """What the worker was given cannot be used; the message is one line."""


@dataclass(frozen=True)
class Ground:
    """What a worker stands on: Redis and the queues it serves there, the stores of checkpoints and of artifacts, what
    it admits, and its keys."""

    url: str
    queues: tuple[str, ...]
    checkpoints: str
    artifacts: str
    admission: Admission
    keyring: Keyring

    def connect(self) -> redis.Redis:
        return connect(self.url)


@dataclass(frozen=True)
class Shared:
    """What the worker's processes have in common: two pieces of memory, and the port that its metrics are shown on."""

    slots: Slots
    meters: Meters
    exposition: Exposition | None


def main(arguments: list[str] | None = None) -> int:
    """Runs the worker until it is told to stop: SIGTERM hands the trials back, a second one ends it at once."""
    options = _parse(arguments)
    keep_secrets()
    if options.parent:
        die_with_parent(options.parent)
    options.data_dir = options.data_dir.expanduser().resolve()
    try:
        gpus = _gpus(options)
        ground = _check(options)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    _set_up_log(options.log_format, options.loglevel)
    count = options.slots or slot_count(gpus, options.per_gpu)
    slots, meters = Slots(count), Meters(count)
    try:
        endpoint = endpoint_of(os.environ, options.metrics_port)
        shown = None if endpoint is None else Exposition(endpoint, make_worker_registry(slots, meters))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    retirement = Retirement(slots)
    delivery.use(ground.keyring, retirement.begin)
    app = create_app(ground.url, ground.queues)
    app.conf.slots, app.conf.retirement = slots, retirement
    name = f"{options.name}@{socket.gethostname()}"
    keeper: list[Keeper] = []
    train.register(app, keeper)
    app.steps["consumer"].add(ConsumeWhenFree)
    _attach(app, Shared(slots, meters, shown), keeper, ground, gpus, name, options)
    worker = app.Worker(
        hostname=name,
        pool_cls="prefork",
        concurrency=count,
        loglevel=options.loglevel,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=False,
        optimization="fair",
        quiet=True,
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pool processes inherit it. It would end one that is told to stop before it has become a keeper.
    signal.signal(getattr(signal, STOP_SIGNAL), signal.SIG_IGN)
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_WORD_TENTHS
    worker.start()
    return int(worker.exitcode or 0)


def _check(options: argparse.Namespace) -> Ground:
    """Reads the environment, and asks Redis whether it lets this worker in.

    Raises:
        Refused: something cannot be used.
    """
    url = os.environ.get("ORCHESTRATOR_REDIS_URL")
    if not url:
        raise Refused("ORCHESTRATOR_REDIS_URL: not set; a worker needs the URL of the Redis it serves")
    stores = []
    for variable, folder in ((CHECKPOINT_URL, "checkpoints"), (ARTIFACT_URL, "artifacts")):
        stores.append(os.environ.get(variable, "").strip() or str(options.data_dir / folder))
        try:
            check_url(stores[-1])
        except Unusable as error:
            raise Refused(f"{variable}: {error}") from None
    try:
        folders = split_path(os.environ.get(OBJECTIVE_PATH, ""))
        check_folders(folders)
        # As they are from here, wherever an objective goes.
        os.environ[OBJECTIVE_PATH] = os.pathsep.join(map(str, folders))
        admission = Admission.of(os.environ, options.preload)
        keyring = Keyring.of(os.environ)
    except NoFolder as error:
        raise Refused(f"{OBJECTIVE_PATH}: {error}") from None
    except NotAList as error:
        raise Refused(f"{OBJECTIVES}: {error}") from None
    except BadSetting as error:
        raise Refused(str(error)) from None
    queues = tuple(options.queues.split(","))
    for queue in queues:
        if not keys.is_queue(queue):
            raise Refused(f"--queues: {queue[:200]!r} is no name of a queue; separate several by commas alone")
    ground = Ground(url, queues, stores[0], stores[1], admission, keyring)
    # The control plane of a `run` is started after its worker, and announces itself then.
    with contextlib.closing(ground.connect()) as client:
        if why := refusal(client, ground.queues, keyring, heed=not options.parent):
            raise Refused(f"orchestrator worker: {why}")
    return ground


def _gpus(options: argparse.Namespace) -> tuple[str, ...]:
    """Returns what the slots see, one after the other.

    Raises:
        Refused: the GPUs cannot be shared out as is wished.
    """
    if options.per_gpu > 1 and options.gpus_per_trial > 1:
        raise Refused("--per-gpu and --gpus-per-trial: slots share a GPU, or have several; give one of them")
    gpus = tuple(options.gpus.split(",")) if options.gpus else visible_gpus(os.environ)
    try:
        return grouped(gpus, options.gpus_per_trial)
    except ValueError as error:
        raise Refused(f"--gpus-per-trial: {error}") from None


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="orchestrator worker", description="Trains trials from the queue.")
    parser.add_argument("--slots", type=int, help="trials at once (default: one per GPU; without one, 1 to 4)")
    parser.add_argument("--gpus", default="", help="GPUs to use, such as 0,1 (default: all that are visible)")
    parser.add_argument("--per-gpu", type=int, default=1, help="slots that share one GPU")
    parser.add_argument("--gpus-per-trial", type=int, default=1, help="GPUs that each slot has for itself")
    parser.add_argument("--queues", default="trials", help="queues to serve, separated by commas")
    parser.add_argument("--name", default=f"worker-{os.getpid()}", help="this worker's name, unique on its host")
    parser.add_argument("--loglevel", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument(
        "--log-format",
        type=_log_format,
        default=os.environ.get(log_lines.LOG_FORMAT, "").strip() or "text",
        help="text, or json: one object a line (default: ORCHESTRATOR_LOG_FORMAT, or text)",
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        help="port of this worker's metrics for Prometheus; 0 for none (default: ORCHESTRATOR_METRICS_PORT, or none)",
    )
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("ORCHESTRATOR_DATA_DIR", ".orchestrator")))
    parser.add_argument("--heartbeat", type=float, default=float(os.environ.get("ORCHESTRATOR_HEARTBEAT", "2")))
    parser.add_argument("--preload", default="", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _log_format(text: str) -> str:
    if text not in log_lines.FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(log_lines.FORMATS)}")
    return text


def _set_up_log(form: str, level: str) -> None:
    log_lines.set_up("worker", form, level)

    def on_setup_logging(**_: Any) -> None:
        # Somebody listens, and so Celery leaves the log alone; its pool's logger passes nothing on by itself.
        get_pool_logger().handlers = list(logging.getLogger().handlers)
        get_pool_logger().setLevel(logging.ERROR)

    signals.setup_logging.connect(on_setup_logging, weak=False)
    if form == "json":
        # Celery's words at a signal go to stdout, past any log.
        celery.apps.worker.safe_say = lambda message, *_: log_lines.say_from_a_signal_handler("worker", message)


def _attach(
    app: celery.Celery,
    shared: Shared,
    keeper: list[Keeper],
    ground: Ground,
    gpus: tuple[str, ...],
    name: str,
    options: argparse.Namespace,
) -> None:
    """Connects Celery's signals: a keeper in every pool process, news of revoked tasks, an orderly end."""
    main_pid, mark = os.getpid(), uuid.uuid4().hex
    slots, shown = shared.slots, shared.exposition
    # Of the main process alone: its loop must not wait for a new connection each time a task is revoked.
    client = ground.connect()

    def on_process_init(**_: Any) -> None:
        die_with_parent(main_pid)
        if shown is not None:
            shown.leave_to_parent()
        index = int(current_process().index or 0) % slots.count
        environment = slot_environment(index, slots.count, gpus, os.environ)
        slot = Slot(
            index=index,
            name=f"{name}/{index}",
            mark=f"{mark}-{index}",
            device=device_name(environment, gpus),
            environment=environment,
            data=options.data_dir,
            checkpoints=ground.checkpoints,
            artifacts=ground.artifacts,
            admission=ground.admission,
            queues=ground.queues,
            preload=options.preload,
        )
        slots.set_busy(index, False)
        keeper[:] = [
            Keeper(
                slot,
                ground.connect,
                functools.partial(_tell_monitors, app, name),
                heartbeat=options.heartbeat,
                slots=slots,
                meter=shared.meters.of(index),
                on_preload=functools.partial(_tell_preload, ground, options.name),
                keyring=ground.keyring,
            )
        ]
        keeper[0].start()

    def on_process_shutdown(**_: Any) -> None:
        if keeper:
            keeper[0].close()

    def on_revoked(request: Any, terminated: bool, signum: Any, **_: Any) -> None:
        if isinstance(signum, str):
            # Nobody has revoked this one. Its pool process has died, and as a stop had once been sent to that process
            # for an earlier task, Celery takes its death for the end it was told to make of this one; only then is
            # the signal a text. The loss is found by the silence of the keeper.
            return
        report(request.id, running=bool(terminated))

    def report(token: str, *, running: bool = False) -> None:
        event = Event(token=token, runner="", seq=0, body=Revoked(running=running))
        with contextlib.suppress(redis.RedisError):
            client.xadd(keys.EVENTS, {keys.EVENT_FIELD: ground.keyring.seal(Purpose.EVENT, encode(event))})

    def on_shutting_down(**_: Any) -> None:
        slots.drain()
        for process in app.conf.pool_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, getattr(signal, STOP_SIGNAL))

    def on_ready(sender: Any, **_: Any) -> None:
        pool = sender.controller.pool if hasattr(sender, "controller") else sender.pool
        app.conf.pool_processes = lambda: [process.pid for process in pool._pool._pool]
        if shown is not None:
            shown.start()

    remote_control.take_over(report)
    app.conf.pool_processes = list
    for celery_signal, handler in (
        (signals.worker_process_init, on_process_init),
        (signals.worker_process_shutdown, on_process_shutdown),
        (signals.task_revoked, on_revoked),
        (signals.worker_shutting_down, on_shutting_down),
        (signals.worker_ready, on_ready),
    ):
        celery_signal.connect(handler, weak=False)


def _tell_monitors(app: celery.Celery, worker: str, type: str, token: str, fields: Mapping[str, Any]) -> None:
    with app.events.default_dispatcher(hostname=worker) as dispatcher:
        dispatcher.send(type, uuid=token, **fields)


def _tell_preload(ground: Ground, worker: str, result: Preloaded) -> None:
    key = keys.preload(worker)
    pipe = ground.connect().pipeline()
    pipe.rpush(key, encode(result))
    pipe.expire(key, PRELOAD_SECONDS)
    pipe.execute()


if __name__ == "__main__":
    sys.exit(main())
