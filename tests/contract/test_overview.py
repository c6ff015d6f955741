"""Where a study stands, counted in the database, is what its engine says of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from leased_store import NOW, LeasedStore, attempt, everything
from rich.console import Console

from orchestrator.engine.study import StudyEngine
from orchestrator.model.changeset import Changes, NoteRow, TrialEnd
from orchestrator.model.notifications import DeliveryState
from orchestrator.model.progress_events import TrialEnded
from orchestrator.model.study_status import PACE_TRIALS, NotificationStatus, Work
from orchestrator.queries.readonly import open_study_reader
from orchestrator.queries.replay import compare
from orchestrator.queries.study_summary import summary_of
from orchestrator.terminal.overview import render_status, to_json


def test_it_is_what_the_engine_says(leased: LeasedStore) -> None:
    leased.create(max_steps=27, pruner={"name": "median"}, direction="maximize")
    leased.commit(everything())
    with open_study_reader(leased.url) as history:
        found = history.overview("study")
    expected = StudyEngine(leased.load(), NOW).progress()
    assert (found.progress.complete, found.progress.pruned, found.progress.failed) == (1, 1, 1)
    known = ("study", "state", "reason", "budget", "epochs", "max_steps", "epochs_saved", "best", "slots", "front")
    for name in (*known, "enqueued", "promotes", "begun", "leading", "epoch_budget"):
        assert getattr(found.progress, name) == getattr(expected, name), name
    assert (found.created, found.changed) == (NOW, NOW + 6)
    assert len(found.ends) == 3


@pytest.mark.parametrize("mode", ["promotion", "sync"])
def test_rungs_are_what_the_engine_says(leased: LeasedStore, mode: str) -> None:
    pruner = {"name": "asha", "mode": mode, "min_resource": 1, "reduction_factor": 2}
    leased.create(trials=4, max_steps=8, pruner=pruner, direction="maximize", max_total_steps=99)
    rows = [attempt(n, state="paused", started=NOW, ended=NOW + 1) for n in range(3)]
    leased.commit(
        Changes(
            new_trials=dict.fromkeys(range(4), NOW),
            attempts={row.token: row for row in [*rows, attempt(3, state="running", started=NOW)]},
            values=[(n, 1, n / 10) for n in range(3)],
        )
    )
    with open_study_reader(leased.url) as history:
        found = history.overview("study", rungs=True).progress
        assert history.overview("study").progress.rungs == ()
    expected = StudyEngine(leased.load(), NOW).progress()
    assert found.rungs == expected.rungs != ()
    assert (found.begun, found.epoch_budget, found.leading) == (4, 99, expected.leading)
    assert found.leading is not None
    assert (found.leading.number, found.rungs[0].reached, found.rungs[0].on_it) == (2, 3, 3)
    assert (found.rest, found.promotes) == (expected.rest, True)


def test_a_lowered_budget_is_what_there_is(leased: LeasedStore) -> None:
    leased.create(trials=2, max_steps=27)
    leased.commit(everything())
    with open_study_reader(leased.url) as history:
        found = history.overview("study")
    assert (found.ended, found.progress.budget) == (3, 4)
    assert StudyEngine(leased.load(), NOW).progress().budget == 4


def test_what_was_at_work_lately(leased: LeasedStore) -> None:
    """A trial a second, and three more: one that runs, one that ran before, one that was at work before and since."""
    leased.create(trials=40)
    count, last = PACE_TRIALS, PACE_TRIALS + 1
    rows = [attempt(n, state="done", started=NOW + n - 1, ended=NOW + n + 0.5) for n in range(count + 1)]
    rows += [
        attempt(last, state="running", started=NOW + 3),
        attempt(last + 1, state="paused", started=NOW - 9, ended=NOW - 8),
        attempt(last + 2, state="done", started=NOW - 7, ended=NOW - 6),
        attempt(last + 2, 2, state="running", started=NOW + 9),
    ]
    leased.commit(
        Changes(
            new_trials=dict.fromkeys(range(last + 3), NOW),
            attempts={row.token: row for row in rows},
            ends={n: TrialEnd("COMPLETE", (1.0,), NOW + n) for n in range(count + 1)},
            values=[(n, step, 0.5) for n in (1, last, last + 1) for step in range(n)],
        )
    )
    with open_study_reader(leased.url) as history:
        found = history.overview("study")
    assert found.ends == tuple(NOW + n for n in range(1, count + 1))
    assert found.work == (
        *(Work(int(n == 1), ((NOW + n - 1, NOW + n + 0.5),)) for n in range(1, count + 1)),
        Work(last, ((NOW + 3, None),)),
        Work(0, ((NOW - 7, NOW - 6), (NOW + 9, None))),
    )


def test_the_pace_of_a_study_that_goes_on_is_that_of_now(leased: LeasedStore) -> None:
    """Twenty trials in the evening; in the morning it goes on, and three more have ended."""
    leased.create(trials=40)
    night = NOW + 30_000
    times = [(n, NOW + 10 * n) for n in range(20)] + [(20 + n, night + 10 + n) for n in range(3)]
    rows = [attempt(n, state="done", started=at, ended=at + 9) for n, at in times]
    leased.commit(
        Changes(
            new_trials=dict.fromkeys(range(23), NOW),
            attempts={row.token: row for row in rows},
            ends={n: TrialEnd("COMPLETE", (1.0,), at + 9) for n, at in times},
            values=[(n, step, 0.5) for n, _ in times for step in range(3)],
            study_state=("running", "", night),
        )
    )
    with open_study_reader(leased.url) as history:
        found = history.overview("study")
    assert found.ends == tuple(at + 9 for n, at in times if n >= 20)
    assert len(found.work) == 2, "those that were at work since the first of these ended"
    assert found.rate == 1.0
    leased.commit(Changes(study_state=("running", "", night + 30)))
    with open_study_reader(leased.url) as history:
        again = history.overview("study")
    assert (again.ends, again.work, again.rate, again.eta(night + 31)) == ((), (), None, None)


def test_a_study_without_trials(leased: LeasedStore) -> None:
    leased.create()
    with open_study_reader(leased.url) as history:
        (found,) = history.overviews()
        assert history.ended("study", 5) == []
    assert (found.progress.best, found.progress.epochs, found.ended, found.rate) == (None, 0, 0, None)
    assert found.eta(NOW) is None


def test_studies_are_counted_apart(leased: LeasedStore) -> None:
    leased.create(name="study")
    leased.create(name="other")
    leased.commit(everything(), "other")
    with open_study_reader(leased.url) as history:
        found = {each.progress.study: each for each in history.overviews()}
    assert (found["study"].progress.epochs, found["other"].progress.epochs) == (0, 6)
    assert (found["study"].ended, found["other"].ended) == (0, 3)


def test_what_ended_last_comes_last(leased: LeasedStore) -> None:
    leased.create(max_steps=27, pruner={"name": "median"})
    leased.commit(everything())
    with open_study_reader(leased.url) as history:
        ended = history.ended("study", 2)
    assert all(isinstance(each, TrialEnded) for each in ended)
    assert [(each.number, each.state) for each in ended] == [(1, "PRUNED"), (3, "FAIL")]
    assert ended[0].values == (1e308,)
    assert ended[0].params == {"x": 5e-324}


def a_note(key: str, event: str = "finished") -> NoteRow:
    return NoteRow(key, event, "post", "{}", NOW)


def test_who_could_not_be_told_is_shown(leased: LeasedStore) -> None:
    leased.create(notify={"url": "https://h/x"})
    leased.commit(Changes(notes=[a_note("a", "best"), a_note("b", "best"), a_note("c"), a_note("d", "failed")]))
    states = {
        "a": DeliveryState("superseded", 0, "", NOW),
        "b": DeliveryState("delivered", 2, "HTTP 204", NOW + 1),
        "c": DeliveryState("owed", 3, "Connection refused", NOW + 2),
        "d": DeliveryState("failed", 1, "HTTP 404\nnot found", NOW + 3),
    }
    leased.store.commit({}, {}, states)
    told = (
        NotificationStatus("best", "post", "delivered", 2, "HTTP 204", NOW + 1),
        NotificationStatus("finished", "post", "owed", 3, "Connection refused", NOW + 2),
        NotificationStatus("failed", "post", "failed", 1, "HTTP 404\nnot found", NOW + 3),
    )
    with open_study_reader(leased.url) as history:
        found = history.overview("study")
    assert found.notes == leased.store.notification_statuses("study") == told
    assert [note["state"] for note in to_json(found, NOW)["notes"]] == ["delivered", "owed", "failed"]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_status(found, 200, NOW))
    shown = captured.get()
    assert "notification 'finished' (post) is tried again after 3 attempts: Connection refused" in shown
    assert "notification 'failed' (post) failed after 1 attempt: HTTP 404 not found" in shown
    assert "notification 'best'" not in shown


@pytest.mark.parametrize("steps", [range(0, 100_000, 10_000), range(10_000, 60_000, 10_000), range(5), range(1, 6), ()])
def test_one_study_has_one_figure_of_what_was_trained_and_saved(leased: LeasedStore, steps: Sequence[int]) -> None:
    """Whether steps are epochs or ten thousands of frames, and whatever the first one is."""
    full = 100_000
    leased.create(max_steps=full, pruner={"name": "median"})
    rows = [attempt(0, state="done"), attempt(1, state="running")]
    leased.commit(
        Changes(
            new_trials=dict.fromkeys(range(2), NOW),
            attempts={row.token: row for row in rows},
            values=[(number, step, 0.5) for number in range(2) for step in steps],
            ends={0: TrialEnd("PRUNED", (0.5,), NOW + 1)},
        )
    )
    each = max(len(steps), *steps) if steps else 0
    with open_study_reader(leased.url) as history:
        found = history.overview("study").progress
        facts, recording = history.trial("study", "0"), history.recording("study")
    summary = summary_of(leased.load(), [], [], leased.url, "", 1.0)
    replayed = compare(recording, [])[0]
    assert (found.epochs, found.epochs_saved) == (2 * each, full - each)
    assert (summary.epochs.trained, summary.epochs.saved) == (found.epochs, found.epochs_saved)
    assert StudyEngine(leased.load(), NOW).progress().epochs_saved == found.epochs_saved
    assert StudyEngine(leased.load(), NOW).progress().epochs == found.epochs
    assert [slot.epochs for slot in found.slots] == [each]
    assert (facts.trained, replayed.trained) == (each, found.epochs)
