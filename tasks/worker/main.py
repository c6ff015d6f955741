"""The worker's main process: checks its options and environment, then runs Celery until it is told to stop."""

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
from celery import signals

from tasks import celery_task, log_lines
from tasks.app import STOP_SIGNAL, create_app
from tasks.keeper.devices import slot_count
from tasks.keeper.keeper import Keeper
from tasks.keeper.slot import SlotTable
from tasks.metrics_endpoint import BadSetting, endpoint_of
from tasks.metrics_server import MetricsServer
from tasks.process_guards import adopt_orphans, die_with_parent, keep_secrets
from tasks.worker import kombu_transport
from tasks.worker.consume_gate import ConsumeGate, GateStep
from tasks.worker.consumer import drop_traceback
from tasks.worker.metrics import make_worker_registry
from tasks.worker.options import parse
from tasks.worker.pool import KeeperOptions, Pool, Shared
from tasks.worker.prefetch import KeeperTaskPool
from tasks.worker.startup_checks import find_gpus, read_config

LAST_RESULT_TENTHS = 20
"""Tenths of a second for which a pool process that ends waits until Celery's main process has taken the results of its
tasks; 30 s in billiard. The main process takes none of a task that was received just before the worker was told to
stop: it has forgotten the task, the broker delivers it again, and the worker that gets it learns that it is done."""


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
        config = read_config(options)
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    _set_up_log(options.log_format, options.loglevel)
    slots = SlotTable(options.slots or slot_count(gpus, options.per_gpu))
    try:
        endpoint = endpoint_of(os.environ, options.metrics_port)
        metrics = None if endpoint is None else MetricsServer(endpoint, make_worker_registry(slots))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    app = create_app(config.url, config.queues)
    keeper: list[Keeper] = []
    celery_task.register(app, keeper)
    keeper_options = KeeperOptions(
        name=options.name,
        hostname=f"{options.name}@{socket.gethostname()}",
        gpus=gpus,
        data=options.data_dir,
        heartbeat=options.heartbeat,
        preload=options.preload,
    )
    pool = Pool(app, keeper, config, Shared(slots, metrics), keeper_options)
    pool.attach()
    app.conf.admitted_bundles = list(config.allowlist.bundles)
    gate = app.conf.consume_gate = ConsumeGate(slots, pool.folders)
    app.steps["consumer"].add(GateStep)
    kombu_transport.install(config.keyring, config.queues, gate)
    worker = app.Worker(
        hostname=keeper_options.hostname,
        pool_cls=KeeperTaskPool,
        concurrency=slots.count,
        loglevel=options.loglevel,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=False,
        optimization="fair",
        # The gate counts what the pool's processes have been sent.
        pool_putlocks=False,
        quiet=True,
    )
    worker.install_platform_tweaks = pool.take_signals
    # Pool processes inherit it. It would end one that is told to stop before it has become a keeper.
    signal.signal(getattr(signal, STOP_SIGNAL), signal.SIG_IGN)
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = LAST_RESULT_TENTHS
    worker.start()
    return int(worker.exitcode or 0)


def _set_up_log(form: str, level: str) -> None:
    log_lines.set_up("worker", form, level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(drop_traceback)

    def on_setup_logging(**_: Any) -> None:
        # With a receiver of this signal Celery leaves the log alone; the logger of its pool does not propagate.
        get_pool_logger().handlers = list(logging.getLogger().handlers)
        get_pool_logger().setLevel(logging.ERROR)

    signals.setup_logging.connect(on_setup_logging, weak=False)
    if form == "json":
        # At a signal Celery prints to stdout, past any log.
        celery.apps.worker.safe_say = lambda message, *_: log_lines.say_from_a_signal_handler("worker", message)
