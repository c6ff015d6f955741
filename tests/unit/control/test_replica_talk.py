"""What is said to and by samplers in processes: studies handed over, answers in order, each told once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial
from replica_asking import PATIENCE, Asking, copy_of, expected, spec_of

from orchestrator.sampling.questions import Answer, Horizon, Question


def test_what_has_come_is_told_once_however_many_classes_are_checked_meanwhile(module: str, asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.ask("a")
    while not asking.replicas.has_news:
        assert asking.bell.wait(PATIENCE)
        asking.bell.clear()
    for name in ("b", "c", "d"):
        asking.replicas.check(spec_of(name, f"{module}:Raises"))
    said = asking.replicas.take()
    while not said:
        said = asking.hear()
    assert [study for study, _ in said] == ["a"]


def test_it_is_not_told_where_the_servers_are(module: str, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", "postgresql://user:password@host/optuna")
    asking.open(spec_of("s", f"{module}:Tells"))
    asking.ask("s")
    ((_, answer),) = asking.hear()
    assert isinstance(answer, Answer)
    assert answer.user_attrs == [(0, "names", [])]


def test_what_a_closed_study_is_told_late_is_dropped(asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.ask("a")
    asking.open(spec_of("a"))
    asking.ask("a")
    ((study, answer),) = asking.hear()
    assert study == "a"
    assert isinstance(answer, Answer)
    assert answer.trial == 0
    assert asking.replicas.take() == []


def test_the_least_recently_used_replica_is_given_up_and_made_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.control.replica_process.MOST_REPLICAS", 2)
    for name in ("a", "b", "c"):
        asking.open(spec_of(name))
        asking.ask(name)
        asking.hear()
    (process,) = asking.replicas._shared
    assert len(process.replicas) == 2
    asking.ask("a")
    ((study, answer),) = asking.hear()
    assert study == "a"
    assert isinstance(answer, Answer)
    assert answer.params[0].value == expected(1)


class Watched(list[FrozenTrial]):
    """Trials that note which threads go through them."""

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        super().__init__(trials)
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[FrozenTrial]:
        self.threads.add(threading.current_thread().name)
        return super().__iter__()


def test_a_whole_study_is_handed_over_by_the_thread_and_not_by_the_loop(asking: Asking) -> None:
    asking.open(spec_of("s"))
    copy = copy_of(200)
    trials = Watched(copy.trials)
    question = Question("trial", 199, Horizon(199, 200))
    asking.replicas.ask("s", [question], lambda: copy._replace(trials=trials))
    ((_, answer),) = asking.hear()
    assert isinstance(answer, Answer)
    assert answer.params[0].value == expected(199)
    assert trials.threads == {"replicas"}


def test_questions_that_go_together_are_answered_in_order_each_when_it_is_there(
    module: str, asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNTIL", str(tmp_path / "go-on"))
    asking.open(spec_of("s", f"{module}:Pauses"))
    questions = [Question("trial", number, Horizon(number, 3)) for number in range(3)]
    asking.replicas.ask("s", questions, lambda: copy_of(3))
    first = asking.hear()
    assert not asking.replicas.has_news
    (tmp_path / "go-on").touch()
    said = [answer for _, answer in first + asking.hear(2) if isinstance(answer, Answer)]
    assert [answer.trial for answer in said] == [0, 1, 2]
