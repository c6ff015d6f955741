"""``health.py NAME [PID]``: is this container's process at work? Exits 0, or 1 and says why not.

Each check asks what the process itself depends on, and whether its loop turns; that a process exists proves nothing.
Without a PID it is the one that runs the command of that name.
"""

from __future__ import annotations

import base64
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

WORKER_MAIN = ("-m", "tasks.worker")
"""What `orchestrator worker` becomes, and its keepers with it."""

WORKER_PERIOD = 2.0
"""After how many seconds at most the loop of a worker's main process turns, whatever is set."""

SECONDS = 5.0
"""How long one answer may take. The health check as a whole is given 15 s."""


def serve(pid: int | None) -> str:
    """Returns what is wrong with the control plane, or an empty string.

    The active one renews the writer's lease every heartbeat, and a standby takes a lapsed one at once. A lapsed lease
    therefore means that none of them works, this one included, even if it reaches its servers. Whether it is this one
    that works is seen by its loop, which has something to do every heartbeat, standing by or not.
    """
    from sqlalchemy import extract, func, select

    from orchestrator.common.settings import load_settings
    from orchestrator.storage.database import Database
    from orchestrator.storage.own_tables import writer
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
    return still(pid, ("orchestrator", "serve"), settings.heartbeat)


def beat(pid: int | None) -> str:
    """Returns what is wrong with the beat, or an empty string: it must reach the database, and look every second."""
    from orchestrator.common.settings import load_settings
    from orchestrator.schedule.ticker import LOOK_SECONDS
    from orchestrator.storage.database import Database

    database = Database(load_settings().storage_url or "")
    with database.read():
        pass  # a beat that cannot read it runs nothing
    database.close()
    return still(pid, ("orchestrator", "beat"), LOOK_SECONDS)


def worker(pid: int | None) -> str:
    """Returns what is wrong with the worker, or an empty string.

    It must reach its broker, and the loops of its main process and of the keeper of each slot must turn. It is not
    asked over the broker: its role there may hear remote control and not send any.
    """
    from tasks.app import connect

    connect(os.environ["ORCHESTRATOR_REDIS_URL"]).ping()
    main = pid or running(WORKER_MAIN)
    if main is None:
        return f"no process runs '{' '.join(WORKER_MAIN)}'"
    keepers = [child for child in _children(main) if _runs(child, WORKER_MAIN)]
    if not keepers:
        return f"worker {main} has no keeper"
    heartbeat = float(os.environ.get("ORCHESTRATOR_HEARTBEAT") or 2)
    threads = {main: [_main_thread(main)]}
    # While a slot idles, all that moves of its keeper are its threads.
    threads |= {keeper: list(Path(f"/proc/{keeper}/task").glob("*/status")) for keeper in keepers}
    return _unmoved(threads, max(WORKER_PERIOD, heartbeat))


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


def still(pid: int | None, words: tuple[str, str], period: float) -> str:
    """Returns that the loop of a process stands still, or an empty string.

    A loop that turns waits, and each wait is a switch that the kernel counts for its thread. Without a ``pid`` it is
    the process that runs ``words``; ``period`` is after how many seconds at most it turns.
    """
    found = pid or running(words)
    if found is None:
        return f"no process runs '{' '.join(words)}'"
    return _unmoved({found: [_main_thread(found)]}, period)


def _main_thread(pid: int) -> Path:
    return Path(f"/proc/{pid}/status")


def _unmoved(threads: dict[int, list[Path]], period: float) -> str:
    """Returns which process stands still, or an empty string.

    All are watched at once: one after the other would take longer the more slots a worker has.
    """
    before, deadline = {pid: _waits(paths) for pid, paths in threads.items()}, time.monotonic() + 2 * period + 1
    while standing := [pid for pid, waits in before.items() if _waits(threads[pid]) == waits]:
        if time.monotonic() > deadline:
            return f"the loop of process {standing[0]} stands still"
        time.sleep(0.1)
    return ""


def running(words: tuple[str, str]) -> int | None:
    """Returns the process that runs ``words``, such as ``orchestrator serve``; not one that another such has forked."""
    found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _runs(int(folder.name), words)]
    forked = {child for pid in found for child in _children(pid)}
    return min(set(found) - forked, default=None)


def _runs(pid: int, words: tuple[str, str]) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    # What passes signals on, or waits for this one, has the same words behind its own.
    programs = [Path(word).name for word in line]
    return programs[0].startswith("python") and words in zip(programs, line[1:], strict=False)


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
    except OSError:
        return []


def _waits(threads: list[Path]) -> list[str]:
    return [line for status in threads for line in _lines(status) if line.startswith("voluntary_ctxt_switches")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        # A thread that has ended; that, too, is a move.
        return []


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
