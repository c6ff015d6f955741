"""Accelerators of a worker, found without importing torch, and the environment of each slot's trainer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.objective_allowlist import OBJECTIVES
from tasks.objective_path import OBJECTIVE_PATH
from tasks.program.allowlist import COMMANDS

CHECKPOINT_URL = "ORCHESTRATOR_CHECKPOINT_URL"
"""Variable with the URL of the store for checkpoints."""

ARTIFACT_URL = "ORCHESTRATOR_ARTIFACT_URL"
"""Variable with the URL of the store for models and other files of trials."""

_OURS = "ORCHESTRATOR_"
_SHOWN = (OBJECTIVE_PATH, OBJECTIVES, COMMANDS, "ORCHESTRATOR_DATA_DIR")
"""The only variables of this program that a trainer sees; later ones may hold secrets."""

_HIDDEN = ("CELERY_", "FLOWER_", "REDISCLI_AUTH", "PGPASS")
"""Prefixes of other variables that may hold a password."""

_CREDENTIALS = {
    "s3": "AWS_",
    "s3a": "AWS_",
    "gs": "GOOGLE_",
    "gcs": "GOOGLE_",
    "az": "AZURE_",
    "abfs": "AZURE_",
    "abfss": "AZURE_",
    "adl": "AZURE_",
}
"""Prefixes of the variables with a store's credentials, by the scheme of its URL."""

_GPU_NODE = re.compile(r"nvidia\d+$")


def visible_gpus(environ: Mapping[str, str], dev: Path = Path("/dev")) -> tuple[str, ...]:
    """Returns the names (indices or UUIDs) of the GPUs this process may hand out.

    ``CUDA_VISIBLE_DEVICES`` of the worker wins; without it the device nodes of the driver are counted.
    """
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1"))
    # Counted, not named: in a container with some of a host's GPUs the nodes keep the host's numbers, while CUDA
    # counts what it sees from 0.
    count = sum(bool(_GPU_NODE.match(path.name)) for path in dev.glob("nvidia*"))
    return tuple(str(index) for index in range(count))


def grouped(gpus: Sequence[str], per_trial: int) -> tuple[str, ...]:
    """Returns the GPUs of each slot: ``per_trial`` neighbouring ones, written as ``CUDA_VISIBLE_DEVICES`` has them.

    Raises:
        ValueError: they cannot be shared out without a remainder.
    """
    if per_trial < 1:
        raise ValueError(f"is {per_trial}; it must be at least 1")
    if per_trial > 1 and not gpus:
        raise ValueError(f"is {per_trial}, and there is no GPU")
    if len(gpus) % per_trial:
        raise ValueError(f"is {per_trial}, and of {len(gpus)} GPUs some would be left over; choose others with --gpus")
    return tuple(",".join(gpus[first : first + per_trial]) for first in range(0, len(gpus), per_trial))


def cpu_count() -> int:
    """Returns the number of cores this process may run on."""
    return len(os.sched_getaffinity(0))


def slot_count(gpus: Sequence[str], per_gpu: int) -> int:
    """Returns the default number of slots: ``per_gpu`` on each GPU, or group of them; without one, a core each, at most
    four."""
    return len(gpus) * per_gpu if gpus else min(cpu_count(), 4)


def slot_environment(index: int, slots: int, gpus: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of slot ``index``'s trainer.

    It sees its own GPU only, or its group of them (set before torch is imported, so that every objective's ``cuda:0``
    is the right one), an equal share of the cores unless ``OMP_NUM_THREADS`` says otherwise, and nothing that leads
    to Redis, the database or the checkpoints and models, nor a signing key: user code holds no credentials. Those of
    a cloud are only left out where checkpoints or models are kept in that very cloud; an objective may need them for
    its data.
    """
    hidden = [*_HIDDEN, _OURS]
    for variable in (CHECKPOINT_URL, ARTIFACT_URL):
        scheme, mark, _ = environ.get(variable, "").strip().partition("://")
        if mark and scheme.lower() not in ("file", "local"):
            # fsspec takes arguments of any store, keys included, from variables of its own.
            hidden.append("FSSPEC_")
            hidden += [prefix for prefix in [_CREDENTIALS.get(scheme.lower())] if prefix]
    result = {key: value for key, value in environ.items() if key in _SHOWN or not key.startswith(tuple(hidden))}
    if gpus:
        result["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    result.setdefault("OMP_NUM_THREADS", str(max(1, cpu_count() // slots)))
    return result


def device_name(environment: Mapping[str, str], gpus: Sequence[str]) -> str:
    """Returns the name a person reads: ``gpu 3`` or ``cpu``."""
    return f"gpu {environment['CUDA_VISIBLE_DEVICES']}" if gpus else "cpu"
