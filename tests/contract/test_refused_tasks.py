"""What a worker's channel keeps aside, and what it gives back; on a real Redis."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kombu
import pytest
from queue_worker import KEY, OTHER, QUEUE, Worker, a_job

from orchestrator.messaging.event_stream import EventStream
from tasks import redis_keys
from tasks.codec import encode
from tasks.contract import VERSION, Announcement, Job
from tasks.signing import SIGNING_KEY, UNSIGNED, Keyring, Purpose


@pytest.mark.parametrize("sender", [UNSIGNED, OTHER])
def test_a_job_without_a_valid_signature_is_kept_aside(worker: Worker, sender: Keyring) -> None:
    worker.send(sender, a_job())
    assert worker.work(KEY) == 0
    (reason,) = worker.dead()
    assert reason.startswith(f"queue {QUEUE}: Unsigned: ")


def test_the_signature_of_one_job_does_not_serve_another(worker: Worker) -> None:
    def change(message: dict[str, Any]) -> None:
        body = json.loads(base64.b64decode(message["body"]))
        body[0][0]["objective"] = "os:system"
        message["body"] = base64.b64encode(json.dumps(body).encode()).decode()

    worker.send(KEY, a_job())
    worker.change(change)
    assert worker.work(KEY) == 0
    assert "no key that is known here" in worker.dead()[0]


@pytest.mark.parametrize("signature", [1, "zz", {"a": 1}, "", None])
def test_a_signature_that_is_none(worker: Worker, signature: Any) -> None:
    worker.send(KEY, a_job())
    worker.change(lambda message: message["headers"].update(signature=signature))
    assert worker.work(KEY) == 0
    assert len(worker.dead()) == 1


class Canary:
    """Its pickle makes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("content", ["application/x-python-serialize", "application/json", "application/data", None])
def test_a_pickle_is_never_read(worker: Worker, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "alive"
    pickled = pickle.dumps([[Canary(file)], {}, {}])

    def change(message: dict[str, Any]) -> None:
        message["content-type"] = content
        message["content-encoding"] = "binary"
        message["body"] = base64.b64encode(pickled).decode()

    worker.send(UNSIGNED, a_job())
    worker.change(change)
    # Not even where something else in the process has allowed it.
    kombu.enable_insecure_serializers(["pickle"])
    try:
        assert worker.work(UNSIGNED) == 0
    finally:
        kombu.disable_insecure_serializers(["json"])
    assert len(worker.dead()) == 1
    assert not file.exists()
    pickle.loads(pickled)
    assert file.exists(), "this canary cannot sing"


def embed(message: dict[str, Any], **more: Any) -> None:
    body = json.loads(base64.b64decode(message["body"]))
    body[2].update(more)
    message["body"] = base64.b64encode(json.dumps(body).encode()).decode()


@pytest.mark.parametrize(
    "change",
    [
        lambda message: embed(message, callbacks=[{"task": "train", "args": [], "kwargs": {}, "options": {}}]),
        lambda message: embed(message, chain=[{"task": "train"}]),
        lambda message: message["headers"].update(eta="2999-01-01T00:00:00"),
        lambda message: message["headers"].update(timelimit=[0.1, None]),
        lambda message: message["headers"].update(compression="application/x-gzip"),
    ],
)
def test_a_task_that_asks_for_more_than_to_train_is_kept_aside(
    worker: Worker, change: Callable[[dict[str, Any]], object]
) -> None:
    worker.send(KEY, a_job())
    worker.change(change)
    assert worker.work(KEY) == 0
    assert len(worker.dead()) == 1


def test_a_job_of_the_version_before_is_taken(worker: Worker) -> None:
    worker.send(UNSIGNED, a_job(version=VERSION - 1))
    assert worker.work(UNSIGNED) == 1


@pytest.mark.parametrize("version", [VERSION - 2, VERSION + 1, 10**400])
def test_a_job_of_another_version_that_was_not_announced_is_set_aside(worker: Worker, version: int) -> None:
    EventStream(worker.client).prepare()
    worker.send(UNSIGNED, a_job(version=version))
    assert worker.work(UNSIGNED) == 0
    assert len(worker.dead()) == 1
    assert worker.reasons == []


def announce(worker: Worker, keyring: Keyring, version: int = VERSION) -> None:
    sealed = keyring.seal(Purpose.ANNOUNCEMENT, encode(Announcement(version=version)))
    worker.client.set(redis_keys.ANNOUNCEMENT, sealed)


@pytest.mark.parametrize(
    ("sender", "job", "version", "keyring", "why"),
    [
        (UNSIGNED, a_job(version=VERSION + 1), VERSION + 1, UNSIGNED, "upgrade this worker"),
        (KEY, a_job(version=VERSION + 1), VERSION + 1, KEY, "upgrade this worker"),
        (KEY, a_job(), VERSION, UNSIGNED, SIGNING_KEY),
        (UNSIGNED, a_job(), VERSION, KEY, SIGNING_KEY),
        (OTHER, a_job(), VERSION, KEY, SIGNING_KEY),
    ],
)
def test_a_worker_that_is_behind_gives_the_job_back_and_retires(
    worker: Worker, sender: Keyring, job: Job, version: int, keyring: Keyring, why: str
) -> None:
    worker.send(sender, job)
    announce(worker, sender, version)
    assert worker.work(keyring) == 0
    assert worker.dead() == []
    (reason,) = worker.reasons
    assert why in reason
    worker.reasons.clear()
    # Another one takes it.
    assert worker.work(sender) == (version == VERSION)


def test_a_job_whose_control_plane_has_stopped_signing_is_sent_again(worker: Worker) -> None:
    worker.send(KEY, a_job())
    EventStream(worker.client).prepare()
    assert worker.work(UNSIGNED) == 0
    assert (len(worker.dead()), worker.reasons) == (1, [])
