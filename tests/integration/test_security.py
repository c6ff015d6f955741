"""A whole search over TLS, by roles, with signatures: it runs, no role may do more than it needs, no secret shows."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fleet import command_line, environment_of, wait_for
from optuna.trial import TrialState
from secret_scan import PLACES, check_no_secret
from secured_search import OTHERS, STUDY, Secured, processes, secured_search

from orchestrator.messaging.dispatch import queue_names
from tasks import redis_keys
from tasks.app import create_app
from tasks.codec import encode
from tasks.contract import Epoch, Event
from tasks.signing import SIGNING_KEY
from tests.secured_servers import Authority


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(secured_search(tmp_path_factory.mktemp("secured")))


def test_a_search_runs_by_roles_that_may_do_little(secured: Secured) -> None:
    trials = secured.trials()
    assert [trial.state for trial in trials] == [
        *[TrialState.COMPLETE] * 2,
        TrialState.PRUNED,
        TrialState.FAIL,
        *[TrialState.PRUNED] * 2,
    ]
    with secured.redis.client() as client:
        denied = [(entry["username"], entry["reason"], entry["object"]) for entry in client.acl_log()]
    assert denied == []
    assert secured.dead_letters() == []
    (worker,) = json.loads(secured.flower("/api/workers?refresh=1"))
    assert worker.startswith("one@")
    wait_for(
        lambda: Counter(task["state"] for task in json.loads(secured.flower("/api/tasks")).values())["FAILURE"] == 1,
        "Flower has heard of the trial that failed",
    )
    assert "insecure" not in secured.fleet.logs()


def test_the_training_process_holds_no_secret(secured: Secured) -> None:
    trainers = [pid for pid in processes(secured) if "tasks.trainer" in command_line(pid)]
    assert trainers
    for pid in trainers:
        check_no_secret(secured, "a trainer's environment", Path(f"/proc/{pid}/environ").read_bytes().decode(), "PATH=")
    seen = secured.trials()[0].user_attrs["seen"]
    check_no_secret(secured, "what an objective sees of itself", seen, "PATH=")
    assert SIGNING_KEY not in seen
    assert "ORCHESTRATOR_REDIS_URL" not in seen


def test_who_comes_with_the_wrong_credentials_is_told_in_one_line(secured: Secured) -> None:
    stranger = Authority.make(secured.folder / "stranger")
    redis_url, database_url = secured.redis.url_of, secured.postgresql.url_of
    both, worker = secured.environment("control", "writer"), secured.environment("worker")
    untrusted, wrong = "certificate verify failed", "invalid username-password pair"
    for url, line in [
        (redis_url("control", authority=stranger), untrusted),
        (redis_url("control", secured.wrong), wrong),
    ]:
        assert line in secured.invoke("serve", environment=both | {"ORCHESTRATOR_REDIS_URL": url})
    for url, line in [
        (database_url("writer", authority=stranger), untrusted),
        (database_url("writer", secured.wrong), "password authentication failed"),
    ]:
        assert line in secured.invoke("serve", environment=both | {"ORCHESTRATOR_STORAGE_URL": url})
        assert line in secured.invoke("ls", environment=both | {"ORCHESTRATOR_STORAGE_URL": url})
    for url, line in [
        (redis_url("worker", authority=stranger), untrusted),
        (redis_url("worker", secured.wrong), wrong),
        (redis_url("viewer"), "may not take tasks from the queue 'trials'"),
    ]:
        assert line in secured.refused("worker", environment=worker | {"ORCHESTRATOR_REDIS_URL": url})


def test_a_worker_without_the_key_does_not_begin(secured: Secured) -> None:
    without = secured.environment("worker", **{f"{SIGNING_KEY}_FILE": ""})
    assert "signed, and there is no key here" in secured.refused("worker", environment=without)
    other = without | {SIGNING_KEY: secured.wrong}
    assert "no key that is known here" in secured.refused("worker", environment=other)


def test_who_only_reads_cannot_write(secured: Secured) -> None:
    reader = secured.environment("control", "reader")
    assert "may not write" in secured.refused("pause", STUDY, environment=reader)
    assert "may not write" in secured.refused("serve", environment=reader)
    for role, statement in [
        ("reader", "DELETE FROM studies"),
        ("reader", "CREATE TABLE mine (a int)"),
        ("writer", "CREATE TABLE mine (a int)"),
        ("writer", "DROP TABLE orchestrator_writer"),
        ("writer", "TRUNCATE trials"),
    ]:
        url = secured.postgresql.url_of(role)
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            # It may say so; what it is granted is another matter.
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"denied|must be own"):
                connection.exec_driver_sql(statement)


def test_an_unsigned_event_or_job_is_set_aside(secured: Secured) -> None:
    """All that a stolen worker can write, without the key."""
    before = secured.dead_letters()
    with contextlib.closing(secured.redis.client_of("worker")) as client:
        forged = Event(token=str(uuid.uuid4()), runner="r", seq=1, body=Epoch(step=1, value=1.0))
        client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(forged)})
        client.lpush(queue_names("trials")[1], json.dumps({"headers": {"task": "train", "id": "x"}, "body": ""}))
    wait_for(lambda: len(secured.dead_letters()) == len(before) + 2, "both are kept aside")
    assert "an event that is not signed" in secured.dead_letters()


class Canary:
    """Its pickle makes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_remote_control_in_pickle_is_not_read(secured: Secured, tmp_path: Path) -> None:
    """Who may send it at all can stop a worker; it must not be able to make one run anything."""
    app = create_app(secured.redis.url_of("control"))
    file = tmp_path / "alive"
    body = base64.b64encode(pickle.dumps({"method": "ping", "arguments": {}, "canary": Canary(file)})).decode()
    properties = {"delivery_mode": 2, "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}}
    message = {
        "body": body,
        "content-encoding": "binary",
        "content-type": "application/x-python-serialize",
        "headers": {},
        "properties": properties | {"body_encoding": "base64", "delivery_tag": "t"},
    }
    with contextlib.closing(secured.redis.client_of("control")) as client:
        assert client.publish("/0.celery.pidbox", json.dumps(message)) == 1
    # It answers, and so it has taken up what came before.
    wait_for(lambda: app.control.ping(timeout=1.0), "the worker answers")
    assert not file.exists()
    assert "Refusing to deserialize" in secured.fleet.logs() or "ContentDisallowed" in secured.fleet.logs()
    app.close()


@pytest.mark.parametrize("name", PLACES)
def test_no_secret_shows(secured: Secured, name: str) -> None:
    read, there = PLACES[name]
    check_no_secret(secured, name, read(secured), there)


def test_the_secrets_are_what_is_really_used(secured: Secured) -> None:
    """What is looked for in vain must be what there would be to be found."""
    environments = [environment_of(process.pid) for process in secured.fleet.processes]
    held = b"".join(environment for environment in environments if environment is not None).decode()
    found = [secret for secret in secured.secrets if secret in held]
    # The worker shows root alone what it has been given: its password of Redis.
    assert len(found) == 4 + len(OTHERS) - environments.count(None), "three roles of Redis, one of PostgreSQL"
