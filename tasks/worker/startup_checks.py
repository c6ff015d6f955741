"""Checks before a worker takes its first task: its options and environment, its Redis, and the protocol version of the
control plane. A problem is reported in one line."""

from __future__ import annotations

import argparse
import contextlib
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

import redis

from tasks import redis_keys
from tasks.app import connect
from tasks.codec import Malformed, decode_announcement
from tasks.contract import VERSION
from tasks.data_folder import WORKERS_FOLDERS, obstacle
from tasks.keeper.devices import ARTIFACT_URL, CHECKPOINT_URL, grouped, visible_gpus
from tasks.keeper.file_store import check_url
from tasks.metrics_endpoint import BadSetting
from tasks.objective_allowlist import Allowlist
from tasks.objective_path import OBJECTIVE_PATH, check_folders, split_path
from tasks.program.allowlist import CommandAllowlist
from tasks.signing import SIGNING_KEY, Keyring, Purpose, Unsigned


def refusal(client: redis.Redis, queues: Iterable[str], keyring: Keyring, *, heed: bool = True) -> str:
    """Returns in one line why a worker cannot work, or nothing. A server that is away may come back, and is no reason.

    Args:
        client: Redis.
        queues: Queues of the worker.
        keyring: Keys of the worker.
        heed: Whether the announcement of the control plane counts; not where one is about to be started.
    """
    try:
        client.ping()
        for queue in queues:
            try:
                client.llen(queue)
            except redis.exceptions.NoPermissionError:
                return f"the Redis user may not take tasks from the queue '{queue}': admit it in the user's ACL"
        sealed = client.get(redis_keys.ANNOUNCEMENT) if heed else None
        return version_mismatch(sealed if isinstance(sealed, bytes) else None, keyring)
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        return f"Redis refuses this worker: {error}; check user and password in ORCHESTRATOR_REDIS_URL"
    except redis.ConnectionError as error:
        if isinstance(error.__context__, ssl.SSLCertVerificationError):
            return f"the certificate of Redis cannot be trusted: {error}; check ssl_ca_certs in ORCHESTRATOR_REDIS_URL"
        return ""
    except redis.RedisError:
        return ""


def version_mismatch(sealed: bytes | None, keyring: Keyring) -> str:
    """Returns in one line why a worker cannot serve the control plane that announced itself so, or nothing.

    Args:
        sealed: The announcement; ``None`` where there is none.
        keyring: Keys of the worker.
    """
    if sealed is None:
        return ""
    try:
        theirs = decode_announcement(keyring.open(Purpose.ANNOUNCEMENT, sealed)).version
    except Unsigned as error:
        return f"what the control plane announces is {error}; it and its workers need the same {SIGNING_KEY}"
    except Malformed:
        return ""
    if theirs == VERSION:
        return ""
    older = "this worker" if theirs > VERSION else "the control plane, and then start this worker again"
    return f"this worker speaks protocol version {VERSION}, the control plane {theirs}: upgrade {older}"


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
        BadSetting: the GPUs cannot be shared out as the options say.
    """
    if options.per_gpu > 1 and options.gpus_per_trial > 1:
        raise BadSetting("--per-gpu and --gpus-per-trial", "slots share a GPU, or have several", "give one of them")
    gpus = tuple(options.gpus.split(",")) if options.gpus else visible_gpus(os.environ)
    try:
        return grouped(gpus, options.gpus_per_trial)
    except ValueError as error:
        raise BadSetting("--gpus-per-trial", str(error)) from None


def read_config(options: argparse.Namespace) -> WorkerConfig:
    """Reads the environment, and checks that Redis admits this worker.

    Raises:
        BadSetting: something cannot be used.
    """
    url = os.environ.get("ORCHESTRATOR_REDIS_URL")
    if not url:
        raise BadSetting("ORCHESTRATOR_REDIS_URL", "not set", "a worker needs the URL of the Redis it serves")
    stores = []
    for variable, folder in ((CHECKPOINT_URL, "checkpoints"), (ARTIFACT_URL, "artifacts")):
        stores.append(os.environ.get(variable, "").strip() or str(options.data_dir / folder))
        check_url(variable, stores[-1])
    for name in WORKERS_FOLDERS:
        if why := obstacle(options.data_dir / name, folder=True):
            remedy = "move it away, or choose another folder with ORCHESTRATOR_DATA_DIR"
            raise BadSetting(str(options.data_dir / name), why, remedy)
    folders = split_path(os.environ.get(OBJECTIVE_PATH, ""))
    check_folders(folders)
    # Absolute, so that an objective may change the working directory.
    os.environ[OBJECTIVE_PATH] = os.pathsep.join(map(str, folders))
    allowlist = Allowlist.of(os.environ, options.preload)
    CommandAllowlist.of(os.environ)
    keyring = Keyring.of(os.environ)
    queues = tuple(options.queues.split(","))
    for queue in queues:
        if not redis_keys.is_queue(queue):
            raise BadSetting("--queues", f"{queue[:200]!r} is no name of a queue", "separate several by commas alone")
    config = WorkerConfig(url, queues, stores[0], stores[1], allowlist, keyring)
    # The control plane of a `run` is started after its worker, and announces itself then.
    with contextlib.closing(config.connect()) as client:
        if why := refusal(client, config.queues, keyring, heed=not options.parent):
            raise BadSetting("orchestrator worker", why)
    return config
