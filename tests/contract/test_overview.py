"""Where a study stands, counted in the database, is what its engine says of it."""

from __future__ import annotations

from books import NOW, Books, everything

from orchestrator.engine import StudyEngine
from orchestrator.notices import TrialEnded
from orchestrator.storage.look import open_history


def test_it_is_what_the_engine_says(books: Books) -> None:
    books.create(max_steps=27, pruner={"name": "median"}, direction="maximize")
    books.commit(everything())
    with open_history(books.url) as history:
        found = history.overview("study")
    expected = StudyEngine(books.load(), NOW).progress()
    assert (found.progress.complete, found.progress.pruned, found.progress.failed) == (1, 1, 1)
    for name in ("study", "state", "reason", "budget", "epochs", "max_steps", "epochs_saved", "best", "slots", "front"):
        assert getattr(found.progress, name) == getattr(expected, name), name
    assert (found.created, found.changed) == (NOW, NOW + 6)
    assert len(found.ends) == 3


def test_a_study_without_trials(books: Books) -> None:
    books.create()
    with open_history(books.url) as history:
        (found,) = history.overviews()
        assert history.ended("study", 5) == []
    assert (found.progress.best, found.progress.epochs, found.ended, found.rate) == (None, 0, 0, None)
    assert found.eta(NOW) is None


def test_studies_are_counted_apart(books: Books) -> None:
    books.create(name="study")
    books.create(name="other")
    books.commit(everything(), "other")
    with open_history(books.url) as history:
        found = {each.progress.study: each for each in history.overviews()}
    assert (found["study"].progress.epochs, found["other"].progress.epochs) == (0, 6)
    assert (found["study"].ended, found["other"].ended) == (0, 3)


def test_what_ended_last_comes_last(books: Books) -> None:
    books.create(max_steps=27, pruner={"name": "median"})
    books.commit(everything())
    with open_history(books.url) as history:
        ended = history.ended("study", 2)
    assert all(isinstance(each, TrialEnded) for each in ended)
    assert [(each.number, each.state) for each in ended] == [(1, "PRUNED"), (3, "FAIL")]
    assert ended[0].values == (1e308,)
    assert ended[0].params == {"x": 5e-324}
