"""The worker's main process: looks at what it was given, then is Celery's until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import Any

import billiard.pool
import celery.apps.worker
from billiard.util import get_logger as get_pool_logger
from celery import bootsteps, signals
from celery.worker.consumer.tasks import Tasks

from tasks import celery_task, log_lines
from tasks.app import STOP_SIGNAL, create_app
from tasks.keeper.devices import slot_count
from tasks.keeper.keeper import Keeper
from tasks.keeper.slot import SlotTable
from tasks.metrics_endpoint import BadSetting, endpoint_of
from tasks.metrics_server import MetricsServer
from tasks.process_guards import adopt_orphans, die_with_parent, keep_secrets
from tasks.worker import kombu_transport
from tasks.worker.metrics import make_worker_registry
from tasks.worker.options import parse
from tasks.worker.pool import KeeperOptions, Pool, Shared
from tasks.worker.retirement import Retirement
from tasks.worker.room import Room
from tasks.worker.startup_checks import StartupRefused, find_gpus, read_config

LAST_WORD_TENTHS = 20
"""Tenths of a second for which a pool process that ends waits until Celery's main process has taken what came of its
tasks; 30 s in billiard. Of one that was received just before the worker was told to stop, it takes nothing any more:
it has forgotten the task, the broker will bring it again, and whoever gets it is told that it is done with."""


class ConsumeWhenFree(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes a task from the queue only while a keeper is really free and its host has room, and none once the worker
    retires.

    Celery counts a slot as free as soon as its task is revoked; a trainer that takes its time to leave would make
    the next task wait here while a slot elsewhere idles.
    """

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        slots: SlotTable = consumer.app.conf.slots
        retirement: Retirement = consumer.app.conf.retirement
        retirement.attach(consumer.hub)
        qos = consumer.task_consumer.channel.qos
        may_consume = qos.can_consume
        room: Room = consumer.app.conf.room
        qos.can_consume = lambda: (
            not retirement.begun and slots.busy() < slots.count and room.is_there() and may_consume()
        )


def main(arguments: list[str] | None = None) -> int:
    """Runs the worker until it is told to stop: SIGTERM, SIGINT and SIGHUP hand the trials back, after their grace
    period or, when one of them comes a second time, at once."""
    options = parse(arguments)
    keep_secrets()
    adopt_orphans()
    if options.parent:
        die_with_parent(options.parent)
    try:
        gpus = find_gpus(options)
        ground = read_config(options)
    except StartupRefused as error:
        print(error, file=sys.stderr)
        return 2
    _set_up_log(options.log_format, options.loglevel)
    count = options.slots or slot_count(gpus, options.per_gpu)
    slots = SlotTable(count)
    try:
        endpoint = endpoint_of(os.environ, options.metrics_port)
        shown = None if endpoint is None else MetricsServer(endpoint, make_worker_registry(slots))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    retirement = Retirement(slots)
    kombu_transport.install(ground.keyring, ground.queues, retirement.begin)
    app = create_app(ground.url, ground.queues)
    app.conf.slots, app.conf.retirement = slots, retirement
    keeper: list[Keeper] = []
    celery_task.register(app, keeper)
    app.steps["consumer"].add(ConsumeWhenFree)
    manner = KeeperOptions(
        name=options.name,
        hostname=f"{options.name}@{socket.gethostname()}",
        gpus=gpus,
        data=options.data_dir,
        heartbeat=options.heartbeat,
        preload=options.preload,
    )
    pool = Pool(app, keeper, ground, Shared(slots, shown), manner)
    app.conf.room = Room(slots, pool.folders)
    pool.attach()
    worker = app.Worker(
        hostname=manner.hostname,
        pool_cls="prefork",
        concurrency=count,
        loglevel=options.loglevel,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=False,
        optimization="fair",
        quiet=True,
    )
    worker.install_platform_tweaks = pool.take_signals
    # Pool processes inherit it. It would end one that is told to stop before it has become a keeper.
    signal.signal(getattr(signal, STOP_SIGNAL), signal.SIG_IGN)
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_WORD_TENTHS
    worker.start()
    return int(worker.exitcode or 0)


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
