"""What is written is what is read, on every database, by us and by Optuna."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from datetime import UTC, datetime

import optuna
import pytest
import sqlalchemy
from leased_store import NOW, LeasedStore, X, a_trial, attempt, everything, optuna_storage
from optuna.trial import TrialState

from orchestrator.model.changeset import AttemptRow, Changes, DecisionRow, TrialEnd
from orchestrator.storage import own_tables


def local(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone().replace(tzinfo=None)


def test_everything_that_is_written_is_read_again(leased: LeasedStore) -> None:
    leased.create()
    changes = everything()
    leased.commit(copy.deepcopy(changes))
    found = leased.load()
    assert (found.state, found.reason, found.study_system_attrs) == ("paused", "because", {"rung": 3})
    key = lambda row: (row.trial, row.number)  # noqa: E731
    assert [asdict(row) for row in found.attempts] == [
        asdict(row) for row in sorted(changes.attempts.values(), key=key)
    ]
    complete, pruned, running, failed = found.trials
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "PRUNED", "RUNNING", "FAIL"]
    assert [trial.values for trial in found.trials] == [[-0.5], [1e308], None, None]
    assert complete.params == {"x": 0.1, "kind": None}
    assert pruned.params == {"x": 5e-324}
    expected = {0: math.nan, 5: math.inf, 2: -math.inf, 2**31 - 1: -0.0}
    if leased.database.dialect == "sqlite":
        expected[2**31 - 1] = 0.0  # it has no minus zero
    assert repr(sorted(complete.intermediate_values.items())) == repr(sorted(expected.items()))
    assert pruned.intermediate_values == {0: 1e308, 1: 5e-324}
    assert complete.user_attrs == {"note": {"ä": [1, None, "😀"]}, "k" * 512: 1}
    assert pruned.user_attrs == {"\x7f'\";--": "\x00 and \ud800"}
    assert (complete.system_attrs, running.system_attrs) == ({"ahead": {"x": [0.5, X]}}, {"nan": 1.5})
    assert failed.datetime_complete == local(NOW + 5)


def test_records_of_files_change_also_when_the_trial_has_ended(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    record = '{"filename": "ä"}'
    batch = Changes(records={(0, "artifacts:a"): "{}", (0, "artifacts:b"): record, (2, "artifacts:c"): "1"})
    for _ in range(2):
        leased.commit(copy.deepcopy(batch))
    complete, _, running, _ = leased.load().trials
    assert complete.system_attrs == {"ahead": {"x": [0.5, X]}, "artifacts:a": "{}", "artifacts:b": record}
    assert running.system_attrs == {"nan": 1.5, "artifacts:c": "1"}
    for _ in range(2):
        leased.commit(Changes(records={(0, "artifacts:a"): None, (0, "artifacts:b"): "2", (2, "artifacts:c"): None}))
    complete, _, running, _ = leased.load().trials
    assert complete.system_attrs == {"ahead": {"x": [0.5, X]}, "artifacts:b": "2"}
    assert running.system_attrs == {"nan": 1.5}


def test_the_closest_decisions_and_the_checkpoints_that_are_left_are_read_again(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    nearer = DecisionRow(0, "keep", "median", 2, 0.5, 0.49, 4, NOW + 9)
    leased.commit(Changes(closest={0: nearer}, discarded=[(2, "uid/00002/token-2-1-3.pt")]))

    snapshot = leased.load()

    assert {row.trial: row for row in snapshot.closest} == {0: nearer, 2: everything().closest[2]}
    assert snapshot.checkpoints == [everything().checkpoints[2]]


def test_decisions_and_redone_epochs_are_kept(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    with leased.database.read() as connection:
        decisions = connection.execute(
            sqlalchemy.select(own_tables.decisions).order_by(own_tables.decisions.c.trial)
        ).all()
        redone = connection.execute(sqlalchemy.select(own_tables.redone)).all()
    first, second = decisions
    assert (first.trial, first.rule, first.step, first.value, first.threshold, first.peers) == (
        1,
        "median",
        1,
        None,
        None,
        0,
    )
    assert (second.step, second.value, second.threshold, second.at) == (2**31 - 1, 0.5, -math.inf, NOW + 5)
    assert len(redone) == 3
    assert {(row.trial, row.step) for row in redone} == {(2, 0), (2, 1)}


def test_optuna_sees_what_its_own_storage_would_have(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    complete, pruned, running, _ = leased.optuna_trials()
    assert complete.state is TrialState.COMPLETE
    assert (complete.datetime_start, complete.datetime_complete) == (local(NOW + 2), local(NOW + 3.000001))
    assert (running.datetime_start, running.datetime_complete) == (local(NOW + 1), None)
    assert (pruned.value, pruned.last_step) == (1e308, 1)
    with optuna_storage(leased.url) as storage:
        study = optuna.load_study(study_name="study", storage=storage)
        assert study.best_trial.number == 0
        assert study.user_attrs == {"owner": "me"}
        assert study.direction.name == "MINIMIZE"


def test_committing_the_same_batch_twice_changes_nothing(leased: LeasedStore) -> None:
    """The answer to a commit was lost on the way; whether it was done is unknown."""
    leased.create()
    leased.commit(everything())
    before = leased.rows()
    leased.commit(everything())
    assert leased.rows() == before


@pytest.mark.parametrize(
    "kind",
    ["trial", "start", "value", "end", "start and end", "redone", "decision", "closest", "checkpoint", "attempt"],
)
def test_committing_a_later_batch_twice_changes_nothing(leased: LeasedStore, kind: str) -> None:
    leased.create()
    leased.commit(a_trial())
    end = {0: TrialEnd("COMPLETE", (0.5,), NOW + 9)}
    later = {
        "trial": a_trial(1),
        "start": Changes(starts={0: NOW + 3}),
        "value": Changes(values=[(0, 0, 0.5)], params=[(0, "x", 0.5, X)]),
        "end": Changes(ends=end),
        "start and end": Changes(starts={0: NOW + 3}, values=[(0, 0, 0.5)], ends=end),
        "redone": Changes(redone=[(0, 0, 0.25), (0, 1, math.nan)]),
        "decision": Changes(decisions=everything().decisions),
        "closest": Changes(closest=everything().closest),
        "checkpoint": Changes(checkpoints=everything().checkpoints, discarded=everything().discarded),
        "attempt": Changes(attempts={"token-0-1": attempt(0, state="lost", ended=NOW), "token-0-2": attempt(0, 2)}),
    }[kind]
    leased.commit(copy.deepcopy(later))
    before = leased.rows()
    leased.commit(copy.deepcopy(later))
    assert leased.rows() == before


def test_a_store_that_does_not_know_the_outcome_of_its_first_batch_can_repeat_it(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial())
    again = leased.another()
    again.load()
    again.commit(a_trial())
    again.commit(Changes(values=[(0, 0, 0.5)]))
    assert [trial.intermediate_values for trial in leased.optuna_trials()] == [{0: 0.5}]


def test_the_first_value_of_a_step_stays(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial(values=[(0, 0, 1.0)]))
    leased.commit(Changes(values=[(0, 0, 2.0), (0, 1, 3.0)]))
    assert leased.optuna_trials()[0].intermediate_values == {0: 1.0, 1: 3.0}


def test_a_trial_has_one_live_attempt(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial())
    before = leased.rows()
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        leased.commit(Changes(values=[(0, 0, 1.0)], attempts={"token-0-2": attempt(0, 2)}))
    assert leased.rows() == before
    ended: dict[str, AttemptRow] = {"token-0-2": attempt(0, 2), "token-0-1": attempt(0, state="lost", ended=NOW)}
    leased.commit(Changes(attempts=ended))
    assert [row.state for row in leased.load().attempts] == ["lost", "queued"]


def test_a_batch_is_written_whole_or_not_at_all(leased: LeasedStore) -> None:
    leased.create(name="one")
    leased.create(name="two")
    leased.store.commit({"one": a_trial(), "two": Changes(study_state=("paused", "", NOW))})
    before = leased.rows()
    clash = Changes(attempts={"token-0-2": attempt(0, 2)})
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        leased.store.commit({"two": Changes(new_trials={0: NOW}), "one": clash})
    assert leased.rows() == before
    fresh = Changes(new_trials={0: NOW}, attempts={"another": attempt(0, token="another")})
    leased.store.commit({"two": fresh})
    assert len(leased.optuna_trials("two")) == 1, "ids of a rolled-back transaction are not kept"


def test_studies_do_not_mix(leased: LeasedStore) -> None:
    leased.create(name="one")
    leased.create(name="two", direction="maximize")
    second = Changes(new_trials={0: NOW}, values=[(0, 0, 2.0)], attempts={"t": attempt(0, token="t")})
    leased.store.commit({"one": a_trial(values=[(0, 0, 1.0)]), "two": second})
    assert [leased.optuna_trials(name)[0].intermediate_values for name in ("one", "two")] == [{0: 1.0}, {0: 2.0}]
    assert [row.token for row in leased.load("two").attempts] == ["t"]
    leased.store.commit({"one": Changes(study_state=("paused", "", NOW))})  # PostgreSQL moves a row that is changed
    assert leased.store.unsettled() == ["one", "two"]
    leased.store.commit({"one": Changes(study_state=("finished", "", NOW))})
    assert leased.store.state("one") == "finished"
    assert leased.store.state("three") is None


def test_timings_are_those_of_pruned_trials_and_of_all_gaps(leased: LeasedStore) -> None:
    leased.create()
    rows = [
        attempt(0, state="done", verdict="pruned", latency=0.5, gap=0.1),
        attempt(1, state="done", verdict="stopped", latency=9.0, gap=0.2),
        attempt(2, state="done"),
    ]
    leased.commit(Changes(new_trials=dict.fromkeys(range(3), NOW), attempts={row.token: row for row in rows}))
    latencies, gaps = leased.store.timings("study")
    assert (list(latencies), sorted(gaps)) == ([0.5], [0.1, 0.2])


def test_commands_are_answered_once_and_in_order(leased: LeasedStore) -> None:
    leased.orders.issue("key-1", "me", "pause", "study", {})
    leased.orders.issue("key-2", "me", "submit", "study", {"a": [1, "ä"]})
    first, second = leased.store.pending_commands()
    assert (first.key, first.operation, first.study) == ("key-1", "pause", "study")
    assert second.payload == {"a": [1, "ä"]}
    assert leased.orders.answer("key-1") is None
    leased.store.commit({}, {first.id: '{"state": "paused"}'})
    assert leased.orders.answer("key-1") == '{"state": "paused"}'
    assert [command.key for command in leased.store.pending_commands()] == ["key-2"]
    assert leased.orders.answer("unknown") is None


def test_the_same_key_twice_is_one_command(leased: LeasedStore) -> None:
    for operation in ("pause", "stop"):
        leased.orders.issue("key", "me", operation, "study", {})
    (command,) = leased.store.pending_commands()
    assert command.operation == "pause"
    leased.store.commit({}, {command.id: "{}"})
    leased.orders.issue("key", "me", "pause", "study", {})
    assert leased.store.pending_commands() == []
