"""The image objective under bare Optuna, on folders of a few small images."""

from __future__ import annotations

import gzip
import inspect
import multiprocessing
import shutil
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import optuna
import pytest
from PIL import Image

from orchestrator.spec import load
from orchestrator.spec.objective_check import check_objective
from tasks.contract import CheckpointRef
from tasks.objectives import fashion
from tasks.trainer.file_writers import Checkpoint, CheckpointWriter
from tasks.trainer_messages import CheckpointSaved
from tests.later import Later

torch = Later("torch")

image_folder, image_models, images = (
    Later(f"tasks.objectives.{name}") for name in ("image_folder", "image_models", "images")
)

STUDIES = Path(__file__).parents[4] / "studies"
PARAMS = {"model": "mobilenet_v3_small", "optimizer": "adam", "lr": 1e-3}
SMALL: dict[str, Any] = {
    "models": ["mobilenet_v3_small"],
    "weights": "none",
    "image_size": 32,
    "batch_size": 4,
    "workers": 0,
    "seed": 1,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise that is a little brighter in one class: it can be learnt, but not in an epoch."""
    folder = tmp_path_factory.mktemp("images") / "data"
    random = np.random.RandomState(0)
    for part, count in (("train", 9), ("val", 8)):
        for name, brightness in (("dark", 110), ("light", 150)):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.normal(brightness, 60, (40, 40, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{index}.png")
    return folder


class Trial(optuna.trial.FixedTrial):
    """A trial with what a worker's has beside Optuna's: checkpoints in real files, and a place for a model."""

    def __init__(self, folder: Path, params: dict[str, Any], number: int = 0, cut: int | None = None) -> None:
        super().__init__(params, number)
        self.folder = folder
        self.values: list[tuple[int, float]] = []
        self.saved: list[CheckpointSaved] = []
        self.model: dict[str, Any] | None = None
        self._cut = cut
        self._files = CheckpointWriter(folder, "token")

    def report(self, value: float, step: int) -> None:
        self.values.append((step, value))

    def load_checkpoint(self) -> Checkpoint | None:
        return self._files.load()

    def save_checkpoint(self, state: object, step: int) -> None:
        self.saved.append(self._files.save(state, step))
        if step == self._cut:
            raise optuna.TrialPruned

    def save_model(self, state: dict[str, Any]) -> None:
        self.model = state

    def again(self, cut: int | None = None) -> Trial:
        """Returns the trial as it goes on elsewhere."""
        other = Trial(self.folder, self.params, self.number, cut)
        last = self.saved[-1]
        ref = CheckpointRef(step=last.step, location=last.file, digest=last.digest, size=last.size)
        other._files = CheckpointWriter(self.folder, f"from-{last.step}", [(ref, str(self.folder / last.file))])
        return other


def train(trial: optuna.trial.BaseTrial, data: Path, **kwargs: Any) -> float:
    return images.objective(trial, data=str(data), **{**SMALL, **kwargs})  # type: ignore[arg-type]


def bare(data: Path, params: dict[str, Any] = PARAMS, **kwargs: Any) -> list[float]:
    """Returns the values of one trial of a study of Optuna's own."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    study.enqueue_trial(params)
    study.optimize(lambda trial: train(trial, data, **kwargs), n_trials=1)
    values = study.trials[0].intermediate_values
    assert list(values) == list(range(1, len(values) + 1))
    assert study.trials[0].value == max(values.values())
    return list(values.values())


# -- repeatability


def test_the_same_parameters_and_seed_give_the_same_weights_with_any_number_of_loaders(
    data: Path, tmp_path: Path
) -> None:
    first, second, third = (Trial(tmp_path / name, PARAMS) for name in "abc")
    train(first, data, epochs=3)
    train(second, data, epochs=3, workers=2)
    train(third, data, epochs=3, seed=2)
    states = [load_state(each) for each in (first, second, third)]
    assert first.values == second.values
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_another_trial_has_another_seed(data: Path, tmp_path: Path) -> None:
    trials = [Trial(tmp_path / str(number), PARAMS, number) for number in (0, 1)]
    for trial in trials:
        train(trial, data, epochs=1)
    assert not same(load_state(trials[0]), load_state(trials[1]))


def load_state(trial: Trial) -> dict[str, torch.Tensor]:
    """Returns the weights after the last epoch."""
    state: dict[str, torch.Tensor] = torch.load(trial.folder / trial.saved[-1].file)["network"]
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("optimizer", "frozen_epochs"), [("sgd", 0), ("adam", 2)])
def test_a_trial_that_goes_on_gives_what_it_would_have_given(
    data: Path, tmp_path: Path, optimizer: str, frozen_epochs: int
) -> None:
    params = {**PARAMS, "optimizer": optimizer}
    arguments = {"epochs": 4, "frozen_epochs": frozen_epochs}
    whole = Trial(tmp_path / "whole", params)
    value = train(whole, data, **arguments)

    part = Trial(tmp_path / "parts", params, cut=1)
    values = []
    for cut in (3, None):
        with pytest.raises(optuna.TrialPruned):
            train(part, data, **arguments)
        values += part.values
        torch.manual_seed(len(values))  # another process, with another past
        part = part.again(cut)
    assert train(part, data, **arguments) == value
    assert values + part.values == whole.values
    assert same(load_state(part), load_state(whole))
    assert part.model is not None
    assert whole.model is not None
    assert part.model["epoch"] == whole.model["epoch"]
    assert same(part.model["state_dict"], whole.model["state_dict"])


def test_global_state_is_left_as_it_was(data: Path) -> None:
    before = torch.random.get_rng_state()
    settings = torch.get_num_threads(), torch.backends.cudnn.deterministic
    bare(data, epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (torch.get_num_threads(), torch.backends.cudnn.deterministic) == settings


def test_a_stop_in_the_middle_of_an_epoch_leaves_no_process_behind(data: Path) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise optuna.TrialPruned

    class Timed(optuna.trial.FixedTrial):
        def report(self, value: float, step: int) -> None:  # noqa: ARG002
            assert multiprocessing.active_children()
            signal.setitimer(signal.ITIMER_REAL, 0.05)

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(optuna.TrialPruned):
            train(Timed(PARAMS), data, epochs=1_000_000, workers=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not multiprocessing.active_children()


# -- what is kept


def test_it_learns_and_saves_the_weights_of_the_best_epoch(data: Path, tmp_path: Path) -> None:
    trial = Trial(tmp_path, {**PARAMS, "model": "resnet18"})
    value = train(trial, data, models=["resnet18"], epochs=5, checkpoint_every=5)
    best = max(trial.values, key=lambda each: (each[1], -each[0]))
    assert trial.model is not None
    assert (trial.model["epoch"], trial.model["accuracy"]) == best
    assert value == best[1] > 0.8
    assert best[0] < 5, "the test needs a best epoch that is not the last"
    assert not same(trial.model["state_dict"], load_state(trial))
    assert trial.model["classes"] == ["dark", "light"]

    classifier = image_models.build(trial.model["model"], 2, weights="none", image_size=trial.model["image_size"])
    classifier.network.load_state_dict(trial.model["state_dict"])
    classifier.network.eval()
    transform = image_folder.validation_transform(trial.model["image_size"], classifier.normalization)
    hits = 0
    for label, name in enumerate(trial.model["classes"]):
        for path in (data / "val" / name).iterdir():
            with torch.no_grad():
                hits += int(classifier.network(transform(Image.open(path))[None]).argmax().item() == label)
    assert hits / 16 == value


def test_checkpoints_may_be_further_apart(data: Path, tmp_path: Path) -> None:
    trial = Trial(tmp_path, PARAMS)
    train(trial, data, epochs=5, checkpoint_every=2)
    assert [each.step for each in trial.saved] == [2, 4]


# -- the folder


@pytest.fixture
def broken(data: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(data, tmp_path / "copy")


def refused(data: Path, **kwargs: Any) -> str:
    with pytest.raises((OSError, ValueError)) as raised:
        train(optuna.trial.FixedTrial(PARAMS), data, **kwargs)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_missing_folder_is_answered_with_where_the_images_come_from(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere")
    assert f"there is no folder {tmp_path / 'nowhere'}:" in message
    assert "hymenoptera_data.zip" in message
    assert str(tmp_path / "nowhere" / "train" / "ants") in message


def test_a_folder_needs_both_parts(broken: Path) -> None:
    shutil.rmtree(broken / "val")
    assert refused(broken) == f"{broken} has no folder val: it must have train and val"


def test_a_part_needs_two_classes(broken: Path) -> None:
    shutil.rmtree(broken / "train" / "dark")
    (broken / "train" / ".cache").mkdir()
    message = refused(broken)
    assert message == f"{broken / 'train'} must have a folder for each of at least two classes, but has 1"


def test_both_parts_need_the_same_classes(broken: Path) -> None:
    (broken / "val" / "dark").rename(broken / "val" / "dusk")
    message = refused(broken)
    assert str(broken / "train") in message
    assert "dark, dusk" in message


def test_a_class_needs_images(broken: Path) -> None:
    for path in (broken / "val" / "light").iterdir():
        path.rename(path.with_suffix(".gif"))
    (broken / "val" / "light" / "._7.jpg").touch()
    assert f"{broken / 'val' / 'light'} has no images" in refused(broken)


def test_weights_of_a_file_are_for_one_model(data: Path) -> None:
    assert "models has 2" in refused(data, models=["resnet18", "vgg16"], weights="some.pth")


def test_a_misspelt_model_is_found_before_it_is_chosen(data: Path) -> None:
    assert "did you mean 'resnet50'?" in refused(data, models=["mobilenet_v3_small", "resnet5"])


@pytest.mark.parametrize(("count", "sizes"), [(9, [4, 5]), (8, [4, 4]), (10, [4, 4, 2]), (1, [1]), (3, [3]), (5, [5])])
def test_no_batch_has_a_single_image(count: int, sizes: list[int]) -> None:
    batches = image_folder.Batches(count, 4, shuffled=True)
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == len(sizes)
    assert sorted(index for batch in batches for index, _ in batch) == list(range(count))


# -- the searches that come with it


@pytest.mark.parametrize("name", ["ants_bees", "fashion", "fashion-scratch"])
def test_the_spec_is_one_that_can_be_run(name: str) -> None:
    spec = load(STUDIES / f"{name}.toml")
    check_objective(spec.objective)
    bound = inspect.signature(images.objective).bind(None, **spec.args)
    bound.apply_defaults()
    assert bound.arguments["epochs"] == spec.max_steps
    image_models.check_names(bound.arguments["models"])


def idx(file: Path, array: Any) -> None:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    file.write_bytes(gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()))


def test_fashion_is_written_as_many_images_as_ants_and_bees_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "source", tmp_path / "fashion"
    source.mkdir()
    labels = np.arange(1300, dtype=np.uint8) % 10
    for prefix in ("train", "t10k"):
        idx(source / f"{prefix}-images-idx3-ubyte.gz", np.repeat(labels, 28 * 28).reshape(-1, 28, 28))
        idx(source / f"{prefix}-labels-idx1-ubyte.gz", labels)
    assert fashion.main([str(target), "--source", str(source)]) == 0
    assert capsys.readouterr().out == f"396 images in {target}\n"
    assert image_folder.find_classes(target) == ["coat", "pullover"]
    assert len(list((target / "train").rglob("*.png"))) == 244
    assert len(list((target / "val").rglob("*.png"))) == 152
    assert np.unique(np.asarray(Image.open(target / "val" / "coat" / "00004.png"))).tolist() == [4]

    assert fashion.main([str(target), "--source", str(source)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert fashion.main([str(tmp_path / "other"), "--source", str(tmp_path)]) == 2
    assert "dataset-fashion-mnist" in capsys.readouterr().err
    (source / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"no idx"))
    assert fashion.main([str(tmp_path / "other"), "--source", str(source)]) == 2
    assert "t10k-labels-idx1-ubyte.gz is no idx file" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
