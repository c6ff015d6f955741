"""A study is created once, by this program or by Optuna, and has no rows of an earlier one."""

from __future__ import annotations

import optuna
import pytest
import sqlalchemy
from leased_store import NOW, LeasedStore, everything, make_spec, optuna_storage

from orchestrator.common.errors import BadInput
from orchestrator.messaging.command_client import CommandClient
from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.pruning.registry import DEFAULT, NO_RULE
from orchestrator.spec import Spec
from orchestrator.storage.command_table import CommandTable


def test_a_new_study_is_empty_and_runs(leased: LeasedStore) -> None:
    made = leased.create()
    assert (made.spec, made.seed, made.state, made.reason) == (make_spec(), 5, "running", "")
    assert (made.trials, made.attempts, made.study_system_attrs) == ([], [], {})
    assert made == leased.load()


def test_what_the_spec_leaves_open_is_drawn_once(leased: LeasedStore) -> None:
    first = leased.create(name="one", seed=None)
    second = leased.create(name="two", seed=None)
    assert first.uid != second.uid
    assert first.seed != second.seed
    assert (leased.load("one").uid, leased.load("one").seed) == (first.uid, first.seed)


def test_a_study_that_does_not_exist_cannot_be_loaded(leased: LeasedStore) -> None:
    with pytest.raises(BadInput, match="study 'nothing': there is none of that name"):
        leased.load("nothing")


def test_the_same_search_goes_on_with_what_may_change(leased: LeasedStore) -> None:
    first = leased.create()
    again = leased.create(trials=50, parallel=3)
    assert again.uid == first.uid
    assert (leased.load().spec.trials, leased.load().spec.parallel) == (50, 3)


def test_a_study_keeps_its_rule_where_its_next_spec_names_none(leased: LeasedStore) -> None:
    leased.create(pruner={"name": "none"})
    leased.create(trials=50)
    assert leased.load().spec.pruner == NO_RULE
    leased.create(pruner={"name": "median", "n_warmup_steps": 5})
    assert leased.load().spec.pruner == DEFAULT


def test_nor_does_a_run_name_one_that_hands_a_study_over(leased: LeasedStore) -> None:
    table = CommandTable(leased.database)
    for spec in (make_spec(), make_spec(pruner={"name": "none"})):
        with pytest.raises(InterruptedError):
            CommandClient(table, None).host(spec, run=1, check=_interrupt)
    sent = [Spec.from_json(each.payload["spec"]) for each in leased.store.pending_commands()]
    assert ["pruner" in each.model_fields_set for each in sent] == [False, True]


def _interrupt() -> None:
    raise InterruptedError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"direction": "maximize"}, "direction was 'minimize' and is 'maximize'"),
        ({"objective": "other:objective"}, "objective was 'somewhere:objective' and is 'other:objective'"),
        ({"args": {"epochs": 3}}, "args.epochs was not set and is 3"),
        ({"space": {"x": {"type": "int", "low": 0, "high": 1}}}, "space.x was not there and is new"),
    ],
)
def test_another_search_under_the_same_name_is_refused(
    leased: LeasedStore, changes: dict[str, object], words: str
) -> None:
    leased.create()
    before = leased.rows()
    with pytest.raises(BadInput) as caught:
        leased.create(**changes)
    assert str(caught.value).startswith(f"study 'study': was started as another search: {words}; ")
    assert "another name" in caught.value.remedy
    assert leased.rows() == before


def test_a_study_that_optuna_made_is_taken_up_with_its_trials(leased: LeasedStore) -> None:
    with optuna_storage(leased.url) as storage:
        study = optuna.create_study(study_name="study", storage=storage)
        study.add_trial(optuna.trial.create_trial(value=0.5))
        study.enqueue_trial({"x": 0.25})
        study.ask()
        study.ask()
    found = leased.create()
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "RUNNING", "RUNNING"]
    leased.commit(Changes(values=[(2, 0, 7.0)], ends={1: TrialEnd("FAIL", None, NOW)}))
    assert leased.optuna_trials()[2].intermediate_values == {0: 7.0}


def test_a_study_that_optuna_made_for_another_direction_is_refused(leased: LeasedStore) -> None:
    with optuna_storage(leased.url) as storage:
        optuna.create_study(study_name="study", storage=storage, directions=["minimize", "maximize"])
    with pytest.raises(BadInput, match="made by Optuna, with direction minimize, maximize; the spec says minimize"):
        leased.create()


@pytest.mark.parametrize("name", ["study", "another"])
def test_a_study_made_after_one_was_deleted_has_nothing_of_it(leased: LeasedStore, name: str) -> None:
    """Optuna's dashboard deletes; SQLite hands out the same id again, and Optuna does not ask it to cascade."""
    uid = leased.create().uid
    leased.commit(everything())
    with optuna_storage(leased.url) as storage:
        optuna.delete_study(study_name="study", storage=storage)
    assert leased.store.unsettled() == []
    made = leased.create(name=name)
    assert (made.trials, made.attempts, made.state) == ([], [], "running")
    assert made.uid != uid
    leased.commit(everything(), name)
    assert [trial.state.name for trial in leased.load(name).trials] == ["COMPLETE", "PRUNED", "RUNNING", "FAIL"]


def test_a_server_that_is_gone_when_a_study_is_made_is_one_to_wait_for(postgresql: str) -> None:
    """Optuna calls it an error of its own, which would end the control plane."""
    leased = LeasedStore(postgresql)
    with leased.store._optuna.engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    other = sqlalchemy.create_engine(postgresql, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")
    with pytest.raises(sqlalchemy.exc.OperationalError):
        leased.create()
    assert leased.create().state == "running"
    leased.close()
