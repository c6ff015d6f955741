"""Checks of a worker's options and environment before it takes its first task; a problem is reported in one line."""

from __future__ import annotations

import argparse
import contextlib
import os
from dataclasses import dataclass

import redis

from tasks import redis_keys
from tasks.app import connect
from tasks.keeper.devices import ARTIFACT_URL, CHECKPOINT_URL, grouped, visible_gpus
from tasks.keeper.file_store import BadStoreUrl, check_url
from tasks.metrics_endpoint import BadSetting
from tasks.objective_allowlist import OBJECTIVES, Allowlist, BadAllowlist
from tasks.objective_path import OBJECTIVE_PATH, NoFolder, check_folders, split_path
from tasks.program.allowlist import COMMANDS, BadCommandList, CommandAllowlist
from tasks.signing import Keyring
from tasks.worker.compatibility import refusal


class StartupRefused(Exception):
    """An option or a setting of the worker cannot be used; the message is one line."""


@dataclass(frozen=True)
class WorkerConfig:
    """Configuration of a worker: Redis and its queues, the URLs of its stores, its allowlist and its keys."""

    url: str
    queues: tuple[str, ...]
    checkpoints: str
    artifacts: str
    allowlist: Allowlist
    keyring: Keyring

    def connect(self) -> redis.Redis:
        return connect(self.url)


def find_gpus(options: argparse.Namespace) -> tuple[str, ...]:
    """Returns the GPUs of the slots, one entry after the other.

    Raises:
        Refused: the GPUs cannot be shared out as the options say.
    """
    if options.per_gpu > 1 and options.gpus_per_trial > 1:
        raise StartupRefused("--per-gpu and --gpus-per-trial: slots share a GPU, or have several; give one of them")
    gpus = tuple(options.gpus.split(",")) if options.gpus else visible_gpus(os.environ)
    try:
        return grouped(gpus, options.gpus_per_trial)
    except ValueError as error:
        raise StartupRefused(f"--gpus-per-trial: {error}") from None


def read_config(options: argparse.Namespace) -> WorkerConfig:
    """Reads the environment, and checks that Redis admits this worker.

    Raises:
        Refused: something cannot be used.
    """
    url = os.environ.get("ORCHESTRATOR_REDIS_URL")
    if not url:
        raise StartupRefused("ORCHESTRATOR_REDIS_URL: not set; a worker needs the URL of the Redis it serves")
    stores = []
    for variable, folder in ((CHECKPOINT_URL, "checkpoints"), (ARTIFACT_URL, "artifacts")):
        stores.append(os.environ.get(variable, "").strip() or str(options.data_dir / folder))
        try:
            check_url(stores[-1])
        except BadStoreUrl as error:
            raise StartupRefused(f"{variable}: {error}") from None
    try:
        folders = split_path(os.environ.get(OBJECTIVE_PATH, ""))
        check_folders(folders)
        # Absolute, so that an objective may change the working directory.
        os.environ[OBJECTIVE_PATH] = os.pathsep.join(map(str, folders))
        allowlist = Allowlist.of(os.environ, options.preload)
        CommandAllowlist.of(os.environ)
        keyring = Keyring.of(os.environ)
    except NoFolder as error:
        raise StartupRefused(f"{OBJECTIVE_PATH}: {error}") from None
    except BadAllowlist as error:
        raise StartupRefused(f"{OBJECTIVES}: {error}") from None
    except BadCommandList as error:
        raise StartupRefused(f"{COMMANDS}: {error}") from None
    except BadSetting as error:
        raise StartupRefused(str(error)) from None
    queues = tuple(options.queues.split(","))
    for queue in queues:
        if not redis_keys.is_queue(queue):
            raise StartupRefused(f"--queues: {queue[:200]!r} is no name of a queue; separate several by commas alone")
    config = WorkerConfig(url, queues, stores[0], stores[1], allowlist, keyring)
    # The control plane of a `run` is started after its worker, and announces itself then.
    with contextlib.closing(config.connect()) as client:
        if why := refusal(client, config.queues, keyring, heed=not options.parent):
            raise StartupRefused(f"orchestrator worker: {why}")
    return config
