"""What an objective reads of its study on a worker is what it would read of the study itself."""

from __future__ import annotations

import math
import socket
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial
from trainer_harness import running_trainer

from orchestrator.engine import study_view
from orchestrator.sampling.staged_storage import StagedStorage
from tasks.codec import decode_reply, encode
from tasks.contract import EnqueueTrial, Finished, Job, StudyAttribute, StudyStop, StudyView
from tasks.framed_socket import FramedSocket, FrameTooLarge
from tasks.limits import MAX_FRAME_BYTES
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import Ready, StudyReply

X = FloatDistribution(1e-5, 1.0, log=True)
N = IntDistribution(1, 9, step=2)
KIND = CategoricalDistribution(["a", None, 3, False])


def trial(state: TrialState, *values: float, steps: dict[int, float] | None = None, **params: Any) -> FrozenTrial:
    distributions: dict[str, BaseDistribution] = {"x": X, "n": N, "kind": KIND}
    return create_trial(
        state=state,
        values=list(values) or None,
        params=params,
        distributions={name: distributions[name] for name in params},
        intermediate_values=steps or {},
        user_attrs={"note": [1, {"a": None}]},
        system_attrs={"constraints:size": 0.5 if values and values[0] > 2 else -1.0},
    )


TRIALS = [
    trial(TrialState.COMPLETE, 3.0, steps={1: 0.25, 4: -math.inf}, x=0.5, n=7, kind=None),
    trial(TrialState.PRUNED, 0.1, steps={1: math.nan, 2: 0.1}, x=1e-5, kind="a"),
    trial(TrialState.FAIL, kind=False),
    trial(TrialState.COMPLETE, 1.5, x=0.25, n=1),
    trial(TrialState.WAITING),
    trial(TrialState.RUNNING, steps={0: 1.0}, kind=3),
]


def study_of(trials: list[FrozenTrial], *directions: str) -> tuple[optuna.Study, StagedStorage]:
    """The study itself, and the storage in which the control plane has it."""
    theirs = optuna.create_study(study_name="s", directions=directions)
    theirs.add_trials(trials)
    storage = StagedStorage()
    with storage.loading():
        storage.create_study("s", directions)
        for each in theirs.get_trials():
            storage.create_new_trial(0, each)
    return theirs, storage


class Looking(KeeperChannel):
    """What the control plane shows comes over the wire."""

    def __init__(self, storage: StagedStorage, said: list[Any]) -> None:
        super().__init__(said.append, Interrupter())
        self._storage = storage

    def read_study(self) -> StudyView:
        reply = decode_reply(encode(study_view.view(self._storage, "r", 5)))
        assert (reply.runner, reply.seq, reply.name, reply.error) == ("r", 5, "", "")
        assert reply.study is not None
        return reply.study


def seen(storage: StagedStorage, *directions: str, said: list[Any] | None = None, number: int = 5) -> optuna.Study:
    """The study on a worker."""
    job = Job(
        study="s",
        uid="u",
        trial=number,
        token="t",
        attempt=1,
        objective="m:f",
        directions=directions,
        study_attrs={"a": 1},
        id=number + 100,
    )
    nowhere = CheckpointWriter(Path("/nowhere"), "t"), ArtifactWriter(Path("/nowhere"))
    return WorkerTrial(job, Looking(storage, [] if said is None else said), *nowhere).study


def without_ids(trials: list[FrozenTrial]) -> list[str]:
    return [repr(each).replace(f"trial_id={each._trial_id}", "trial_id=") for each in trials]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_its_trials_are_the_studys(direction: str) -> None:
    theirs, storage = study_of(TRIALS, direction)
    ours = seen(storage, direction)
    assert without_ids(ours.trials) == without_ids(theirs.trials)
    done = (TrialState.COMPLETE,)
    assert without_ids(ours.get_trials(states=done)) == without_ids(theirs.get_trials(states=done))
    assert ours.best_trial.number == theirs.best_trial.number, "a feasible one"
    assert (ours.best_value, ours.best_params) == (theirs.best_value, theirs.best_params)
    assert ours.direction is theirs.direction
    assert ours.study_name == "s"
    assert ours.user_attrs == {"a": 1}


def test_reading_it_leaves_no_word_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    ours = seen(study_of(TRIALS, "minimize")[1], "minimize")
    optuna.logging.set_verbosity(optuna.logging.INFO)
    capfd.readouterr()
    _ = ours.trials
    assert capfd.readouterr() == ("", "")


def test_several_objectives() -> None:
    two = [trial(TrialState.COMPLETE, first, second, x=0.5) for first, second in ((1.0, 2.0), (2.0, 1.0), (0.5, 0.5))]
    theirs, storage = study_of(two, "minimize", "maximize")
    ours = seen(storage, "minimize", "maximize")
    assert [each.number for each in ours.best_trials] == [each.number for each in theirs.best_trials]
    assert [each.values for each in ours.trials] == [each.values for each in theirs.trials]
    for wrong in ("best_trial", "best_value", "best_params", "direction"):
        with pytest.raises(RuntimeError):
            getattr(ours, wrong)


def test_there_is_no_best_trial_before_one_is_complete() -> None:
    ours = seen(study_of(TRIALS[1:3], "minimize")[1], "minimize")
    with pytest.raises(ValueError, match="No trials are completed"):
        _ = ours.best_trial


def test_what_was_sampled_ahead_is_not_the_trials_yet() -> None:
    _, storage = study_of([], "minimize")
    storage.create_new_trial(0)
    storage.set_trial_param(0, "x", 0.5, X)
    with storage.sampling_ahead():
        storage.set_trial_param(0, "n", 3.0, N)
    assert seen(storage, "minimize").trials[0].params == {"x": 0.5}


def test_a_trial_that_has_not_begun_is_running() -> None:
    _, storage = study_of(TRIALS[-1:], "minimize")
    storage._get_trial(0).datetime_start = None
    assert [each.state for each in seen(storage, "minimize").trials] == [TrialState.RUNNING]


def test_what_only_the_control_plane_does_is_refused_in_words() -> None:
    theirs, storage = study_of(TRIALS, "minimize")
    said: list[Any] = []
    ours = seen(storage, "minimize", said=said)
    for act in (
        ours.ask,
        lambda: ours.tell(5, 0.5),
        lambda: ours.add_trial(TRIALS[0]),
        lambda: ours._storage.set_trial_user_attr(ours.trials[0]._trial_id, "k", 1),
        lambda: ours.optimize(lambda _: 0.0, n_trials=1),
    ):
        with pytest.raises(RuntimeError, match=r"."):
            act()
    assert said == []
    with pytest.raises(AttributeError):
        _ = ours.anything
    del theirs


def test_what_is_set_of_the_study_is_told() -> None:
    said: list[Any] = []
    ours = seen(study_of([], "minimize")[1], "minimize", said=said)
    ours.set_user_attr("owner", {"name": "me"})
    with pytest.warns(ExperimentalWarning):
        ours.set_metric_names(["loss"])
    ours.enqueue_trial({"x": 0.5}, user_attrs={"why": "to see"})
    ours.stop()
    assert said == [
        StudyAttribute(key="owner", value='{"name": "me"}'),
        StudyAttribute(key="study:metric_names", value='["loss"]', kind="system"),
        EnqueueTrial(params='{"x": 0.5}', user_attrs='{"why": "to see"}'),
        StudyStop(),
    ]
    assert (ours.user_attrs, ours.metric_names) == ({"a": 1, "owner": {"name": "me"}}, ["loss"])
    with pytest.raises(ValueError, match="begins with 'orchestrator'"):
        ours.set_user_attr("orchestrator_flagged", 1)


def test_a_trial_is_found_by_its_id_whatever_that_is() -> None:
    """Optuna's ids count over all studies of a database, so that one trial's may be the number of another one."""
    _, storage = study_of(TRIALS, "minimize")
    ours = seen(storage, "minimize", number=1)
    trials = ours.trials
    assert [ours._storage.get_trial(each._trial_id).number for each in trials] == list(range(len(TRIALS)))
    assert trials[1]._trial_id == 101
    assert len({each._trial_id for each in trials}) == len(TRIALS)


def test_a_study_that_is_too_large_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_view, "MOST_VALUES", 3)
    reply = study_view.view(study_of(TRIALS, "minimize")[1], "r", 1)
    assert reply.study is None
    assert reply.error.startswith("the study's 6 trials hold 14 values; at most 3 can be read on a worker; optuna.")


def test_one_that_is_large_by_its_attributes_is_not_shown_either() -> None:
    large = [create_trial(values=[0.5], user_attrs={"weights": "w" * (1 << 20)}) for _ in range(33)]
    reply = study_view.view(study_of(large, "minimize")[1], "r", 1)
    assert reply.study is None
    assert reply.error.startswith("the study's 33 trials are 33 MiB, most of it attributes; at most 32 MiB can be read")
    assert study_view.view(study_of(large[:31], "minimize")[1], "r", 1).study is not None


def test_ten_thousand_trials_are_shown(tmp_path: Path) -> None:
    """In a real training process: it is left alone when it looks at them."""
    one = study_view.view(study_of(TRIALS[:1], "minimize")[1], "r", 1).study
    assert one is not None
    shown = StudyView(distributions=one.distributions, trials=one.trials * 10_000)
    source = "def objective(trial):\n    return len(trial.study.trials)\n"
    with running_trainer(tmp_path, source, shown=shown) as it:
        assert it.train() == Ready()
        assert it.outcome == Finished(values=(10_000.0,))


def test_what_does_not_fit_into_a_message_is_refused_before_any_of_it_is_sent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        view = StudyView(distributions=("d" * MAX_FRAME_BYTES,))
        with pytest.raises(FrameTooLarge, match="64 MiB in one message, most of it attributes; at most 64 MiB"):
            FramedSocket(ours).send(StudyReply(id=1, study=view))
        FramedSocket(ours).send(StudyReply(id=1))
        assert len(FramedSocket(theirs).receive()) == 1
