"""The places at which a user can read what a search and its servers print and store, scanned for secrets."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable

import sqlalchemy
from fleet import command_line
from secured_search import STUDY, Secured, page, processes

from tasks.app import create_app

PLACES: dict[str, tuple[Callable[[Secured], str], str]] = {}
"""How a place is read, with a text that it certainly holds; by the name of the place."""


def place(name: str, there: str) -> Callable[[Callable[[Secured], str]], Callable[[Secured], str]]:
    """Registers a place. ``there`` is a text that it holds, which proves that it was read."""

    def add(read: Callable[[Secured], str]) -> Callable[[Secured], str]:
        PLACES[name] = read, there
        return read

    return add


@place("the logs of all processes", "study secured finished")
def _logs(it: Secured) -> str:
    logs = [*it.folder.glob("*.log"), it.folder / "redis/server.log", it.folder / "postgresql/server.log"]
    return "\n".join(log.read_text(errors="replace") for log in logs)


@place("what objectives have printed", "planted.objective sees")
def _trial_logs(it: Secured) -> str:
    return "\n".join(log.read_text() for log in (it.folder / "data/logs").rglob("*.log"))


@place("files of trials", "planted.objective")
def _artifacts(it: Secured) -> str:
    files = [path for path in (it.folder / "data/artifacts").rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode(errors="replace") for path in files)


@place("all that was said to Redis", "planted:objective")
def _monitored(it: Secured) -> str:
    return "\n".join(it.monitored)


@place("all that Redis has kept", "XADD")
def _append_only(it: Secured) -> str:
    return "\n".join(path.read_bytes().decode(errors="replace") for path in (it.folder / "redis").rglob("*.aof"))


@place("the database", "planted:objective")
def _database(it: Secured) -> str:
    engine = sqlalchemy.create_engine(it.postgresql.url, poolclass=sqlalchemy.NullPool)
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        rows = [repr(connection.execute(sqlalchemy.select(table)).all()) for table in metadata.tables.values()]
    return "\n".join(rows)


@place("command lines", "tasks.trainer")
def _command_lines(it: Secured) -> str:
    return "\n".join(map(command_line, processes(it)))


@place("what commands say", "secured")
def _commands(it: Secured) -> str:
    """Output of all commands so far, those with a wrong password included, and of the remaining commands."""
    for command in (f"report secured -o {it.folder / 'report'}", "status secured", "ls --json", "why secured 3"):
        said = it.invoke(*command.split(), environment=it.environment("viewer", "reader"))
        assert "secured" in said.partition("\n")[2], said
    assert "planted.objective sees" in it.invoke("logs", STUDY, "3", environment=it.environment("viewer", "reader"))
    both = it.environment("control", "writer")
    doctor = it.invoke("doctor", environment=both)
    assert "one@" in doctor
    nowhere = it.environment("control", "writer", ORCHESTRATOR_REDIS_URL=f"redis://me:{it.wrong}@127.0.0.1:1/0")
    assert "Connection refused" in it.invoke("serve", environment=nowhere)
    return "\n".join(it.said)


@place("the report", "trial 3 fails")
def _report(it: Secured) -> str:
    return "\n".join(page.read_text() for page in (it.folder / "report").rglob("*.html"))


@place("Flower", "one@")
def _flower(it: Secured) -> str:
    paths = ["/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/api/tasks", "/api/queues/length"]
    worker = json.loads(it.flower("/api/workers")).popitem()[0]
    tasks = [f"/task/{task}" for task in json.loads(it.flower("/api/tasks"))]
    pages = {path: it.flower(path) for path in [*paths, f"/worker/{worker}", *tasks]}
    assert all(pages.values()), [path for path, page in pages.items() if not page]
    return "\n".join(pages.values())


@place("metrics", "orchestrator_leader 1")
def _metrics(it: Secured) -> str:
    return page(f"http://127.0.0.1:{it.metrics_port}/metrics", it.others["metrics"])


@place("what Flower keeps", "train")
def _flower_state(it: Secured) -> str:
    # Written once a minute, and at the end.
    (flower,) = (each for each in it.fleet.processes if each.log.name.endswith("flower.log"))
    flower.stop()
    it.fleet.processes.remove(flower)
    it.start_flower()
    return "\n".join(path.read_bytes().decode(errors="replace") for path in (it.folder / "data/flower").rglob("*"))


@place("remote control", "trial-orchestrator")
def _remote_control(it: Secured) -> str:
    app = create_app(it.redis.url_of("control"))
    inspect = app.control.inspect(timeout=5.0, limit=1)
    found = json.dumps([inspect.conf(with_defaults=True), inspect.stats(), inspect.report()], default=str)
    app.close()
    return found + "trial-orchestrator"


def check_no_secret(it: Secured, name: str, text: str, there: str) -> None:
    """Checks that ``text`` holds no secret, and that it holds ``there``, which proves that it was read."""
    # The body of a task is base64 in JSON.
    for run in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", text):
        with contextlib.suppress(ValueError):
            text += base64.b64decode(run + "=" * (-len(run) % 4)).decode(errors="replace")
    assert there in text, f"{name}: could not be read"
    for secret in it.secrets:
        at = text.find(secret)
        assert at < 0, f"{name}: {secret} in …{text[max(0, at - 200) : at + 100]}…"
