"""A fleet's database, saved while everything runs and put back as docs/operations.md says."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy
from clean_shell import run_script
from fleet import Fleet, Servers, follow_to_end, notices, real_servers_only
from optuna.trial import TrialState

from orchestrator.model.progress_events import Progress
from tests import stand_ins
from tests.installed import require
from tests.pages import all_blocks
from tests.shared_servers import postgresql_url

SAVE, RESTORE = all_blocks("test_backup")
TRIALS = 12
SPEC = f"""
name = "saved"
objective = "objectives:waits"
trials = {TRIALS}
seed = 1
pruner.name = "none"
[args]
folder = "."
ready = 5
"""


@real_servers_only
def test_what_had_not_ended_when_it_was_saved_is_trained_again(running: Fleet) -> None:
    programs = running.folder / "bin"
    stand_ins.make(programs)
    require("createdb", "pg_dump", "pg_restore", "redis-cli", folder=programs)
    given = running.servers
    assert given is not None
    serve, worker = running.start("serve"), running.start("worker", "--slots", "2")
    running.submit(running.write_spec(SPEC))
    for notice in notices(given.client(), "saved"):
        if isinstance(notice, Progress) and notice.complete == 5 and notice.running == 2:
            break
    types(SAVE.text, running, given)
    (running.folder / "go").touch()
    assert follow_to_end(given.client(), "saved").complete == TRIALS
    later = given.study("saved").trials
    assert worker.stop() == 0
    assert serve.stop() == 0

    admin = sqlalchemy.create_engine(postgresql_url(), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    url = sqlalchemy.make_url(given.storage_url)
    name = f"{url.database}_restored"
    restored = Servers(given.redis_url, url.set(database=name).render_as_string(hide_password=False))
    try:
        types(RESTORE.text.replace("createdb optuna", f"createdb {name}"), running, restored)
        before = restored.study("saved").trials
        assert [trial.number for trial in before if trial.state is TrialState.COMPLETE] == list(range(5))
        assert [trial.values for trial in before[:5]] == [trial.values for trial in later[:5]]

        running.servers = restored
        running.start("serve")
        running.start("worker", "--slots", "2")
        assert follow_to_end(restored.client(), "saved").complete == TRIALS
        after = restored.study("saved").trials
        assert len(after) == TRIALS
        # Those in flight are the same trials as before.
        assert [trial.params for trial in after[:7]] == [trial.params for trial in later[:7]]
    finally:
        running.close()
        restored.close()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def types(text: str, running: Fleet, servers: Servers) -> None:
    """Types a block of the page, where the variables say which servers are meant."""
    url = sqlalchemy.make_url(servers.storage_url)
    where = {"PGHOST": url.host, "PGPORT": str(url.port or 5432), "PGUSER": url.username, "PGPASSWORD": url.password}
    environment = running.environment() | {key: str(value) for key, value in where.items() if value}
    environment |= {
        "ORCHESTRATOR_REDIS_URL": servers.redis_url,
        "ORCHESTRATOR_STORAGE_URL": servers.storage_url,
        "PATH": f"{running.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    done = run_script(text, Path(running.folder), environment)
    assert done.returncode == 0, done.stderr
