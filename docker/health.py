"""``health.py NAME [PID]``: is this container's process at work? Exits 0, or 1 and says why not.

Each check asks what the process itself depends on, and whether its loop turns; that a process exists proves nothing.
Without a PID it is the one that runs ``orchestrator`` with that command.
"""

from __future__ import annotations

import base64
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

WORKER = "worker"
"""The ``--name`` that the worker is started with."""

SECONDS = 5.0
"""How long one answer may take. The health check as a whole is given 15 s."""


def serve(pid: int | None) -> str:
    """Returns what is wrong with the control plane, or an empty string.

    The active one renews the writer's lease every heartbeat, and a standby takes a lapsed one at once. A lapsed lease
    therefore means that none of them works, this one included, even if it reaches its servers. Whether it is this one
    that works is seen by its loop, which has something to do every heartbeat, standing by or not.
    """
    from sqlalchemy import extract, func, select

    from orchestrator.settings import load_settings
    from orchestrator.storage.database import Database
    from orchestrator.storage.tables import writer
    from tasks.app import connect

    settings = load_settings()
    connect(settings.redis_url or "").ping()
    database = Database(settings.storage_url or "")
    with database.read() as connection:
        expires = connection.scalar(select(writer.c.expires).where(writer.c.id == 1))
        now = time.time()
        if database.dialect == "postgresql":
            # The lease is judged by the database's clock.
            now = float(connection.scalars(select(extract("epoch", func.clock_timestamp()))).one())
    database.close()
    if expires is None or expires < now:
        return "no control plane holds the writer's lease"
    return still("serve", pid, settings.heartbeat)


def beat(pid: int | None) -> str:
    """Returns what is wrong with the beat, or an empty string: it must reach the database, and look every second."""
    from orchestrator.schedule.ticker import LOOK_SECONDS
    from orchestrator.settings import load_settings
    from orchestrator.storage.database import Database

    database = Database(load_settings().storage_url or "")
    with database.read():
        pass  # a beat that cannot read it runs nothing
    database.close()
    return still("beat", pid, LOOK_SECONDS)


def worker(_: int | None) -> str:
    """Returns what is wrong with the worker, or an empty string: it must answer over its broker."""
    from tasks.app import connect, create_app

    url = os.environ["ORCHESTRATOR_REDIS_URL"]
    # Celery would try again and again; this fails at once and says why.
    connect(url).ping()
    name = f"{WORKER}@{socket.gethostname()}"
    answers = create_app(url).control.inspect(destination=[name], timeout=SECONDS, limit=1).ping()
    return "" if answers and name in answers else f"{name} does not answer"


def flower(_: int | None) -> str:
    """Returns what is wrong with Flower, or an empty string: it must reach its broker and show itself, to us alone."""
    from tasks.app import connect

    connect(os.environ["ORCHESTRATOR_REDIS_URL"]).ping()
    return page("http://127.0.0.1:5555/flower/", "ORCHESTRATOR_FLOWER_AUTH")


def dashboard(_: int | None) -> str:
    """Returns what is wrong with the dashboard, or an empty string: it must list the studies, to us alone."""
    return page("http://127.0.0.1:8080/api/studies", "ORCHESTRATOR_DASHBOARD_AUTH")


def page(url: str, variable: str) -> str:
    """Returns what is wrong with a page that asks for the user:password in ``variable``, or an empty string."""
    stranger, known = _status(url, ""), _status(url, os.environ[variable])
    if (stranger, known) == (401, 200):
        return ""
    return f"{url} answers {stranger} without a password and {known} with it"


def _status(url: str, credentials: str) -> int:
    request = urllib.request.Request(url)
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def still(command: str, pid: int | None, period: float) -> str:
    """Returns that the loop of ``orchestrator COMMAND`` stands still, or an empty string.

    A loop that turns waits, and each wait is a switch that the kernel counts for its thread. ``period`` is after how
    many seconds at most it turns.
    """
    found = pid or running(command)
    if found is None:
        return f"no process runs 'orchestrator {command}'"
    before, deadline = _waits(found), time.monotonic() + 2 * period + 1
    while _waits(found) == before:
        if time.monotonic() > deadline:
            return f"the loop of process {found} stands still"
        time.sleep(0.1)
    return ""


def running(command: str) -> int | None:
    """Returns the process that runs ``orchestrator COMMAND``, the first one if there are several."""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        # What passes signals on, or waits for this one, has the same words behind its own.
        programs = [Path(word).name for word in words]
        if programs[0].startswith("python") and ("orchestrator", command) in zip(programs, words[1:], strict=False):
            return int(folder.name)
    return None


def _waits(pid: int) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("voluntary_ctxt_switches"))


def main(arguments: list[str]) -> int:
    """Runs the check of that name; whatever it raises counts as an answer, too."""
    checks = {check.__name__: check for check in (serve, beat, worker, flower, dashboard)}
    try:
        name, *rest = arguments
        wrong = checks[name](int(rest[0]) if rest else None)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    if wrong:
        print(f"unhealthy: {wrong}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
