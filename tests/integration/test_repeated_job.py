"""A signed job that is delivered again when its trial has ended, and nothing in Redis remembers it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from fleet import fleet, follow_to_end, wait_for

from orchestrator.messaging.dispatch import Dispatcher
from tasks import redis_keys
from tasks.app import connect
from tasks.contract import Job
from tasks.signing import SIGNING_KEY, Keyring
from tests.servers import Redis

KEY = "0123456789abcdef" * 2
OBJECTIVE = """
def objective(trial, file):
    with open(file, "a") as out:
        out.write("ran\\n")
    return 1.0
"""


def test_it_is_not_run_again(tmp_path: Path) -> None:
    ran, folder = tmp_path / "ran", tmp_path / "work"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        server = Redis(tmp_path / "redis")
        server.start()
        stack.callback(server.close)
        it = stack.enter_context(fleet(None, folder))
        database = folder / "studies.db"
        environment = it.environment() | {
            "ORCHESTRATOR_REDIS_URL": server.url,
            "ORCHESTRATOR_STORAGE_URL": f"sqlite:///{database}",
            "ORCHESTRATOR_OBJECTIVE_PATH": str(folder),
            SIGNING_KEY: KEY,
        }
        (folder / "repeated.py").write_text(OBJECTIVE)
        it.write_spec(f"name = 's'\nobjective = 'repeated:objective'\ntrials = 1\n[args]\nfile = '{ran}'\n")
        serve = it.start("serve", environment=environment)
        it.start("worker", "--slots", "1", environment=environment)
        it.start("submit", "spec.toml", environment=environment)
        client = stack.enter_context(contextlib.closing(server.client()))
        follow_to_end(client, "s")
        serve.stop()
        with contextlib.closing(sqlite3.connect(database)) as connection:
            ((token,),) = connection.execute("SELECT token FROM orchestrator_attempts").fetchall()
        client.delete(redis_keys.confirmation(token), redis_keys.EVENTS)
        job = Job(
            study="s",
            uid="u",
            trial=0,
            token=token,
            attempt=1,
            objective="repeated:objective",
            directions=("minimize",),
            args={"file": str(ran)},
        )
        sender = stack.enter_context(contextlib.closing(connect(server.url)))
        dispatcher = Dispatcher(server.url, sender, Keyring([KEY]))
        dispatcher.send(job, "trials", priority=5)
        dispatcher.close()
        wait_for(lambda: "waits for the control plane to confirm it" in it.logs(), "the keeper asks in vain")
        assert ran.read_text() == "ran\n"
