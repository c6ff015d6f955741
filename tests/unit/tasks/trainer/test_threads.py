"""An objective may speak of its trial from any thread, and from as many as it likes at once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from trainer_harness import TrainerHarness, running_trainer

from tasks.contract import Attribute, Epoch, Finished, Job, ReadStudy, StudyView, Suggest
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter, TrialStopped
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import FromTrainer, Question, Ready, StudyReply, SuggestReply, TrialLeft

THREADS, ROUNDS = 8, 25

SOURCE = """
import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna

def folds(trial):
    def fold(k):
        depth = trial.suggest_int(f"depth_{k}", 1, 9)
        same = trial.suggest_float("same", 0, 1)
        for step in range(20):
            trial.report(depth / 10, 100 * k + step)
            trial.report(depth, 7)
            trial.set_user_attr(f"last_{k}", step)
        assert trial.should_prune() is False
        assert len(trial.study.trials) == 0
        return same
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(fold, range(8)))

def coroutines(trial):
    async def fold(k):
        x = trial.suggest_float(f"x_{k}", 0, 1)
        y = await asyncio.to_thread(trial.suggest_float, f"y_{k}", 0, 1)
        await asyncio.sleep(0)
        await asyncio.to_thread(trial.report, x + y, k)
        return x + y
    async def all_of_them():
        return sum(await asyncio.gather(*map(fold, range(6))))
    return asyncio.run(all_of_them())

def endless(trial):
    met = []
    together = threading.Barrier(4)
    def fold(k):
        together.wait()
        try:
            for step in range(10**9):
                trial.report(0.5, 10 * step + k)
                time.sleep(0.001)
        except optuna.TrialPruned:
            met.append(k)
            raise
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fold, range(4)))
    finally:
        print("met", sorted(met))

def waits_for_ever(trial):
    threads = [threading.Thread(target=lambda k=k: trial.suggest_float(f"never_{k}", 0, 1)) for k in range(3)]
    for thread in threads:
        thread.start()
    trial.report(0.5, 1)
    for thread in threads:
        thread.join()

def translated(trial):
    def fold():
        for step in range(10**9):
            trial.report(0.5, step)
            time.sleep(0.001)
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(fold).result()
    except optuna.TrialPruned:
        raise RuntimeError("a fold has failed")

left = []

def leaves_one_that_speaks(trial):
    def late():
        go.wait()
        try:
            trial.report(9.0, 9)
        except Exception as error:
            left.append(type(error).__name__)
    go = threading.Event()
    thread = threading.Thread(target=late, name="late")
    thread.start()
    left.append((go, thread))
    return 0.5

def hears_of_it(trial):
    go, thread = left.pop(0)
    go.set()
    thread.join()
    trial.set_user_attr("late", left)
    return 0.5
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerHarness]:
    with running_trainer(tmp_path_factory.mktemp("threads"), SOURCE) as it:
        yield it


def test_a_pool_of_threads_suggests_and_reports(process: TrainerHarness) -> None:
    assert process.train("folds") == Ready()
    assert process.outcome == Finished(values=(4.0,))
    asked = Counter(each.question.name for each in process.of(Question) if isinstance(each.question, Suggest))
    assert asked == dict.fromkeys([f"depth_{k}" for k in range(8)] + ["same"], 1), "each of them once"
    steps = [each.step for each in process.of(Epoch)]
    assert sorted(steps) == sorted({100 * k + step for k in range(8) for step in range(20)}), "7 is a step of fold 0"
    for k in range(8):
        assert [each.value for each in process.of(Attribute) if each.key == f"last_{k}"] == list(map(str, range(20)))
        own = [step for step in steps if step // 100 == k and step != 7]
        assert own == sorted(own)


def test_coroutines_do_too(process: TrainerHarness) -> None:
    assert process.train("coroutines") == Ready()
    assert process.outcome == Finished(values=(6.0,))
    assert sorted(each.step for each in process.of(Epoch)) == list(range(6))


def test_a_stop_reaches_the_main_thread_and_every_thread_that_reports(process: TrainerHarness) -> None:
    process.train("endless", stop_at=100)
    assert isinstance(process.outcome, TrialLeft)
    assert "met [0, 1, 2, 3]" in process.log


def test_threads_that_wait_for_an_answer_meet_a_stop(tmp_path: Path) -> None:
    with running_trainer(tmp_path, SOURCE) as it:
        it._answer_to = lambda number, _: SuggestReply(id=-number, name="another", value=0.5)  # type: ignore[method-assign]
        it.train("waits_for_ever", stop_at=1)
        assert isinstance(it.outcome, TrialLeft)


def test_a_stop_that_a_thread_met_and_the_objective_translates_is_a_stop(process: TrainerHarness) -> None:
    process.train("translated", stop_at=20)
    assert isinstance(process.outcome, TrialLeft)


def test_a_thread_that_outlives_its_trial_speaks_for_no_other_one(process: TrainerHarness) -> None:
    assert process.train("leaves_one_that_speaks").healthy is False
    process.train("hears_of_it")
    assert [each.value for each in process.of(Attribute)] == ['["UpdateFinishedTrialError"]']
    assert process.of(Epoch) == []


class LateKeeper:
    """Answers from a thread of its own, in any order and late, and again what was answered before."""

    def __init__(self, seed: int) -> None:
        self.said: list[FromTrainer] = []
        self.talk = KeeperChannel(self._take, Interrupter(), 3)
        self._random = random.Random(seed)
        self._open: list[Question] = []
        self._asked = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _take(self, frame: FromTrainer) -> None:
        self.said.append(frame)
        if isinstance(frame, Question):
            with self._asked:
                self._open.append(frame)
                self._asked.notify()

    def _answer(self) -> None:
        while True:
            with self._asked:
                while not self._open:
                    if self._over:
                        return
                    self._asked.wait()
                asked = self._open.pop(self._random.randrange(len(self._open)))
            if isinstance(asked.question, ReadStudy):
                answer: SuggestReply | StudyReply = StudyReply(
                    id=asked.id, study=StudyView(distributions=(str(asked.id),))
                )
            else:
                answer = SuggestReply(id=asked.id, name=asked.question.name, value=float(asked.question.name[1:]))
            for _ in range(self._random.randint(1, 2)):
                self.talk.deliver(answer)

    def close(self) -> None:
        with self._asked:
            self._over = True
            self._asked.notify()
        self._thread.join()


@pytest.mark.parametrize("seed", range(4))
def test_each_thread_is_told_the_answer_to_its_own_question(seed: int) -> None:
    keeper = LateKeeper(seed)
    made = Job(study="s", uid="u", trial=3, token="t", attempt=1, objective="m:f", directions=("minimize",))
    trial = WorkerTrial(made, keeper.talk, CheckpointWriter(Path("/nowhere"), "t"), ArtifactWriter(Path("/nowhere")))
    wrong: list[object] = []

    def work(thread: int) -> None:
        chance = random.Random(1_000 * seed + thread)
        for _ in range(ROUNDS):
            number = chance.randrange(60)
            found = trial.suggest_float(f"p{number}", 0, 100)
            if found != number or trial.params[f"p{number}"] != number:
                wrong.append((number, found))
            if chance.random() < 0.2:
                keeper.talk.read_study()

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    keeper.close()
    assert wrong == []
    names = [
        each.question.name for each in keeper.said if isinstance(each, Question) if isinstance(each.question, Suggest)
    ]
    assert len(names) == len(set(names)), "what is known is not asked again"


def test_who_waits_is_woken_by_a_stop_in_any_thread() -> None:
    interrupter = Interrupter()
    asked = threading.Event()
    talk = KeeperChannel(lambda _: asked.set(), interrupter)
    met: list[type] = []

    def ask() -> None:
        try:
            talk.suggest(Suggest(name="x", distribution=""))
        except TrialStopped as error:
            met.append(type(error))

    thread = threading.Thread(target=ask)
    with pytest.raises(TrialStopped), interrupter.running("t"):
        thread.start()
        asked.wait()
        interrupter._token, interrupter._stop = "t", "t"
        talk.wake()
        thread.join()
        interrupter.check()
    assert met == [TrialStopped]


def test_nothing_is_said_when_it_is_over() -> None:
    said: list[FromTrainer] = []
    talk = KeeperChannel(said.append, Interrupter(), 4)
    talk.end()
    with pytest.raises(UpdateFinishedTrialError, match="Trial#4 has already finished"):
        talk.send(Epoch(step=1, value=0.5))
    with pytest.raises(UpdateFinishedTrialError):
        talk.read_study()
    assert said == []
