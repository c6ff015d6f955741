"""The digits objective under bare Optuna: no queue, no worker."""

import functools
from pathlib import Path
from typing import Any

import optuna
import pytest

from tasks.contract import CheckpointRef, Epoch, Finished, Job, Parameter, Paused, Slice
from tasks.trainer import objective_runner
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import CheckpointSaved
from tests.later import Later

torch = Later("torch")

digits = Later("tasks.objectives.digits")

PARAMS: dict[str, Any] = {
    "lr": 3e-3,
    "optimizer": "adam",
    "width": 6,
    "dropout": 0.2,
    "weight_decay": 1e-4,
    "batch_size": 64,
}


def one_trial(
    params: dict[str, Any] = PARAMS, pruner: optuna.pruners.BasePruner | None = None, **kwargs: Any
) -> optuna.trial.FrozenTrial:
    study = optuna.create_study(direction="maximize", pruner=pruner or optuna.pruners.NopPruner())
    study.enqueue_trial(params)
    study.optimize(lambda trial: digits.objective(trial, **kwargs), n_trials=1)
    return study.trials[0]


def test_the_same_parameters_give_the_same_values() -> None:
    first, second = (one_trial(epochs=3, seed=1) for _ in range(2))
    assert first.intermediate_values == second.intermediate_values
    assert one_trial(epochs=3, seed=2).intermediate_values != first.intermediate_values


def test_a_fixed_trial_gives_what_a_study_gives() -> None:
    value = digits.objective(optuna.trial.FixedTrial(PARAMS), epochs=3, seed=1)  # type: ignore[arg-type]
    assert value == one_trial(epochs=3, seed=1).value


def test_each_epoch_is_reported_from_one_on_and_the_last_is_the_value() -> None:
    trial = one_trial(epochs=4)
    assert list(trial.intermediate_values) == [1, 2, 3, 4]
    assert trial.value == trial.intermediate_values[4]
    assert all(0.0 <= value <= 1.0 for value in trial.intermediate_values.values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_every_optimizer_learns(optimizer: str) -> None:
    lr = {"sgd": 0.03, "adam": 3e-3, "rmsprop": 1e-3}[optimizer]
    value = one_trial({**PARAMS, "optimizer": optimizer, "lr": lr, "width": 12, "batch_size": 32}, epochs=4).value
    assert value is not None
    assert value > 0.85


def test_a_trial_that_blows_up_still_reports_accuracies() -> None:
    trial = one_trial({**PARAMS, "optimizer": "rmsprop", "lr": 0.1, "width": 24}, epochs=2)
    assert trial.state is optuna.trial.TrialState.COMPLETE
    assert all(0.0 <= value <= 1.0 for value in trial.intermediate_values.values())


def test_a_pruned_trial_ends_at_the_epoch_of_the_verdict() -> None:
    trial = one_trial(pruner=optuna.pruners.ThresholdPruner(lower=1.1, n_warmup_steps=2), epochs=5)
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert list(trial.intermediate_values) == [1, 2]


def test_global_state_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    one_trial(epochs=1)
    one_trial(pruner=optuna.pruners.ThresholdPruner(lower=1.1), epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == cudnn


def test_training_and_validation_share_no_image() -> None:
    train, validation = (set(indices.tolist()) for indices in digits.split())
    assert not train & validation
    assert train | validation == set(range(1797))


def test_the_split_is_stratified() -> None:
    labels = digits.load()[1]
    train, validation = (torch.bincount(labels[indices], minlength=10) for indices in digits.split())
    assert torch.all((validation - digits.VALIDATION_SHARE * (train + validation)).abs() <= 0.5)


def test_the_split_is_fixed() -> None:
    """Pinned: another split would make the results of older studies incomparable, without a word."""
    train, validation = digits.split()
    assert (len(train), len(validation)) == (899, 898)
    assert validation[:10].tolist() == [3, 5, 7, 8, 9, 13, 14, 15, 16, 18]


def test_the_images_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    expected = load_digits()
    images, labels = digits.load()
    assert torch.equal(images.squeeze(1) * 16, torch.from_numpy(expected.images).float())
    assert torch.equal(labels, torch.from_numpy(expected.target).long())


# -- going on from a checkpoint, on a worker


def worker_run(folder: Path, said: list[Any], params: dict[str, Any], plan: Slice | None) -> Any:
    """Trains a slice of one trial, from what has been saved before; appends what it says."""
    frozen = as_stored(params)
    job = Job(
        study="s",
        uid="u",
        trial=0,
        token=f"t{len(said)}",
        attempt=1,
        objective="tasks.objectives.digits:objective",
        directions=("maximize",),
        params=frozen,
        slice=plan,
    )
    saved = [each for each in said if isinstance(each, CheckpointSaved)]
    given = [
        (
            CheckpointRef(step=each.step, location=each.file, digest=each.digest, size=each.size),
            str(folder / each.file),
        )
        for each in reversed(saved)
    ]
    interrupter = Interrupter()
    files = CheckpointWriter(folder, job.token, given)
    trial = WorkerTrial(
        job,
        KeeperChannel(said.append, interrupter),
        files,
        ArtifactWriter(folder / "artifacts"),
    )
    return objective_runner.run(job.objective, trial, {"epochs": EPOCHS, "seed": 1}, interrupter, job.token)


def as_stored(params: dict[str, Any]) -> dict[str, Parameter]:
    """The parameters as a job carries them."""
    study = optuna.create_study()
    study.enqueue_trial(params)
    trial = study.ask()
    digits.objective(trial, epochs=0)
    return {
        name: Parameter(
            value=distribution.to_internal_repr(params[name]),
            distribution=optuna.distributions.distribution_to_json(distribution),
        )
        for name, distribution in trial.distributions.items()
    }


EPOCHS = 5


@functools.cache
def uninterrupted(optimizer: str) -> optuna.trial.FrozenTrial:
    """Returns a trial that was trained in one go; it is only read."""
    return one_trial({**PARAMS, "optimizer": optimizer}, epochs=EPOCHS, seed=1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("cuts", [[1], [3], [5], [2, 4], [1, 2, 3, 4, 5]], ids=str)
def test_a_trial_that_goes_on_gives_what_it_would_have_given(tmp_path: Path, optimizer: str, cuts: list[int]) -> None:
    params = {**PARAMS, "optimizer": optimizer}
    whole = uninterrupted(optimizer)
    said: list[Any] = []
    for cut in cuts:
        torch.manual_seed(cut)  # another process, with another past
        assert worker_run(tmp_path, said, params, Slice(until_step=cut, checkpoint_by=cut + 1)) == Paused(step=cut)
    assert worker_run(tmp_path, said, params, None) == Finished(values=(whole.value,))
    reported = [(each.step, each.value) for each in said if isinstance(each, Epoch)]
    assert reported == list(whole.intermediate_values.items())
