"""`delete`: every table, every file; refusals; a second try after a kill."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from click.testing import CliRunner, Result
from every_command import invoke
from leased_store import NOW, LeasedStore, carrying, everything, make_spec, optuna_storage
from sqlalchemy import insert, select

from orchestrator import Fleet
from orchestrator.cli import cli
from orchestrator.common.errors import BadInput
from orchestrator.common.settings import load_settings
from orchestrator.control import delete_studies
from orchestrator.model.planned_run import PlannedRun
from orchestrator.queries.readonly import open_study_reader
from orchestrator.storage import own_tables
from orchestrator.storage.schedule_store import Calendar, put_slots
from tasks.trial_files import trial_log

BY_STUDY, BY_TRIAL = "study_id", "trial_id"


@pytest.fixture
def made(leased: LeasedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeasedStore:
    """Two studies with rows in every table and files of every kind, and no control plane."""
    for name in ("study", "other"):
        leased.store.create(carrying(make_spec(name=name, max_steps=27, pruner={"name": "median"})), NOW)
        leased.commit(tokens_of(name), name)
        with leased.database.write() as connection:
            put_slots(connection, [PlannedRun(f"of-{name}", 1, "ended", name, NOW)])
            connection.execute(insert(own_tables.commands).values(command(name)))
            study = select(own_tables.studies.c.study_id).where(own_tables.studies.c.uid == leased.store.load(name).uid)
            code = {"study_id": connection.scalar(study), "digest": "d", "archive": b"a", "author": b"", "added": NOW}
            connection.execute(insert(own_tables.code).values(code))
    leased.lease.release()
    data = tmp_path / "data"
    for name in ("study", "other"):
        for path in files_of(leased, data, name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("content")
    for variable, value in {"STORAGE_URL": leased.url, "DATA_DIR": str(data)}.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{variable}", value)
    for variable in ("REDIS_URL", "CHECKPOINT_URL", "ARTIFACT_URL"):
        monkeypatch.delenv(f"ORCHESTRATOR_{variable}", raising=False)
    return leased


def tokens_of(name: str) -> Any:
    """Something of every kind, whose tokens, which are unique in a database, begin with the study's name."""
    changes = everything()
    changes.attempts = {
        f"{name}-{token}": replace(row, token=f"{name}-{token}") for token, row in changes.attempts.items()
    }
    changes.notes = [note._replace(key=f"{name}:{note.key}") for note in changes.notes]
    return changes


def command(name: str) -> dict[str, Any]:
    row = {"key": f"key-{name}", "issuer": "me", "operation": "enqueue", "study": name, "payload": "{}"}
    return row | {"created": NOW, "answer": None}


def files_of(leased: LeasedStore, data: Path, name: str) -> list[Path]:
    uid = leased.store.load(name).uid
    return [
        data / "checkpoints" / uid / "00002" / "one.pt",
        data / "artifacts" / f"{name}-token-0-1-model",
        trial_log(data, name, 0),
        data / "reports" / name / "index.html",
    ]


def rows_of(leased: LeasedStore, name: str) -> dict[str, int]:
    """How many rows each table has of a study, found by reflection: of a table that comes later, too."""
    metadata = sqlalchemy.MetaData()
    metadata.reflect(leased.database.engine)
    found = {}
    with leased.database.read() as connection:
        studies, trials = metadata.tables["studies"], metadata.tables["trials"]
        study = select(studies.c.study_id).where(studies.c.study_name == name)
        for table in metadata.tables.values():
            if BY_STUDY in table.c:
                which = table.c.study_id.in_(study)
            elif BY_TRIAL in table.c:
                which = table.c.trial_id.in_(select(trials.c.trial_id).where(trials.c.study_id.in_(study)))
            elif "study" in table.c:
                which = table.c.study == name
            else:
                continue
            found[table.name] = len(connection.execute(select(table).where(which)).all())
    return found


def counted(leased: LeasedStore) -> dict[str, int]:
    metadata = sqlalchemy.MetaData()
    metadata.reflect(leased.database.engine)
    with leased.database.read() as connection:
        return {table.name: len(connection.execute(select(table)).all()) for table in metadata.tables.values()}


def delete(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["delete", *arguments], input=answer, standalone_mode=False)


def test_no_table_and_no_file_is_forgotten(made: LeasedStore, tmp_path: Path) -> None:
    data = tmp_path / "data"
    before, mine, all_of_them = rows_of(made, "other"), rows_of(made, "study"), counted(made)
    files, others = files_of(made, data, "study"), files_of(made, data, "other")
    lacking = [name for name, rows in mine.items() if not rows and not name.endswith("trial_heartbeats")]
    assert not lacking, "the fixture writes to every table"
    assert delete("study", "--yes").stdout == "deleted study\n"
    assert rows_of(made, "other") == before
    left = {name: all_of_them[name] - rows for name, rows in mine.items()} | {"orchestrator_slots": 2}
    assert {name: counted(made)[name] for name in left} == left
    with made.database.read() as connection:
        states = dict(map(tuple, connection.execute(select(own_tables.slots.c.study, own_tables.slots.c.state))))
        results = dict(map(tuple, connection.execute(select(own_tables.slots.c.study, own_tables.slots.c.result))))
    assert states == {"study": "deleted", "other": "ended"}
    kept = {"state": "paused", "complete": 1, "pruned": 1, "failed": 1, "epochs": 6, "best": -0.5, "best_trial": 0}
    assert json.loads(results["study"]) == kept | {"front": None}, "what came of a run outlives it"
    assert not any(path.exists() for path in files)
    assert all(path.exists() for path in others)
    assert not files[0].parent.parent.exists(), "the folder goes with them"


def test_of_several_each_goes_once(made: LeasedStore) -> None:
    assert delete("study", "other", "study", "--yes").stdout == "deleted study\ndeleted other\n"
    with open_study_reader(made.url) as reader:
        assert reader.overviews() == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["study"], "there is no terminal; 'orchestrator delete study --yes' does not ask"),
        (
            ["study", "stduy", "--yes"],
            "there is none of that name in this database; did you mean 'study'",
        ),
    ],
)
def test_what_is_refused_deletes_nothing(made: LeasedStore, arguments: list[str], problem: str) -> None:
    before = counted(made)
    result = delete(*arguments)
    assert isinstance(result.exception, BadInput)
    assert problem in str(result.exception)
    assert counted(made) == before


@pytest.mark.parametrize(("answer", "deleted"), [("\n", False), ("n\n", False), ("y\n", True)])
def test_a_person_is_asked(made: LeasedStore, answer: str, deleted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.cli.deletion._is_terminal", lambda: True)
    result = delete("study", answer=answer)
    assert "study study, paused: 4 trials, 2 checkpoints" in result.stderr
    assert (result.exit_code, "nothing was deleted" in result.stderr) == ((0, False) if deleted else (1, True))
    assert bool(rows_of(made, "study")["orchestrator_attempts"]) is not deleted


def test_after_a_kill_between_files_and_rows_the_same_command_finishes(
    made: LeasedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> bool:
        raise Killed

    files, rows = files_of(made, tmp_path / "data", "study"), rows_of(made, "study")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Calendar, "delete_study", die)
        settings = load_settings()
        study = Fleet(settings).handle("study").contents()
        delete_studies.delete_study(settings, study)
    assert not any(path.exists() for path in files)
    assert rows_of(made, "study") == rows
    assert delete("study", "--yes").exit_code == 0
    assert not rows_of(made, "study")["orchestrator_attempts"]


def test_in_a_fleet_a_study_whose_attempts_may_train_is_kept(
    made: LeasedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1/0")
    before = counted(made)
    result = delete("study", "--yes")
    assert isinstance(result.exception, BadInput)
    assert "2 attempts of it may still train, and no control plane is active" in str(result.exception)
    assert counted(made) == before


def test_a_control_plane_that_does_not_answer_is_asked_in_vain(
    made: LeasedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is withdrawn: it must not hit a study that is made later."""
    with closing(LeasedStore(made.url)) as busy:
        monkeypatch.setattr("orchestrator.storage.lease.process_name", lambda: "elsewhere:1:1")
        settings = load_settings()
        study = Fleet(settings).handle("study").contents()
        with pytest.raises(Exception, match=r"did not delete it within 0\.1 s, and the command is withdrawn"):
            delete_studies.delete_study(settings, study, 0.1)
        assert [each.operation for each in busy.store.pending_commands()] == ["enqueue", "enqueue"]
    assert rows_of(made, "study")["orchestrator_attempts"]


def test_a_control_plane_that_dies_meanwhile_is_replaced(made: LeasedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(LeasedStore(made.url, seconds=2.0)):
        monkeypatch.setattr("orchestrator.storage.lease.process_name", lambda: "elsewhere:1:1")
        assert delete("study", "--yes").stdout == "deleted study\n"


def test_of_a_database_that_only_optuna_knows_nothing_else_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    with optuna_storage(url, prepared=False) as storage:
        for name in ("plain", "stays", "two words"):
            study = optuna.create_study(storage=storage, study_name=name)
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", url)
    assert delete("plain", "--yes").stdout == "deleted plain\n"
    assert "'orchestrator delete 'two words' --yes' does not ask" in str(delete("two words").exception)
    assert [each["study"] for each in json.loads(invoke("ls", "--json").stdout)] == ["stays", "two words"]
    engine = sqlalchemy.create_engine(url)
    assert not [name for name in sqlalchemy.inspect(engine).get_table_names() if name.startswith("orchestrator")]
    engine.dispose()


@pytest.mark.parametrize("name", ["..", "../reports", "../../outside", "{tmp}/outside", "x" * 400, "new\nline"])
def test_a_name_of_optunas_that_is_a_path_leads_to_no_other_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = name.format(tmp=tmp_path)
    data = tmp_path / "data"
    others = [data / "logs" / "worker.log", data / "reports" / "other" / "index.html", tmp_path / "outside" / "file"]
    for path in (*others, trial_log(data, "other", 0)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    with optuna_storage(f"sqlite:///{data / 'studies.db'}", prepared=False) as storage:
        optuna.create_study(storage=storage, study_name=name)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(data))
    for variable in ("STORAGE_URL", "REDIS_URL", "CHECKPOINT_URL", "ARTIFACT_URL"):
        monkeypatch.delenv(f"ORCHESTRATOR_{variable}", raising=False)
    assert invoke("prepare").exit_code == 0
    assert delete("--yes", "--", name).exit_code == 0
    assert all(path.is_file() for path in (*others, trial_log(data, "other", 0)))
    assert json.loads(invoke("ls", "--json").stdout) == []
