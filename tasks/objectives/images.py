"""Transfer learning on your own images: a pretrained network with a new last layer, trained on a folder of classes.

It is an ordinary Optuna objective and knows of nothing but Optuna::

    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: objective(trial, data="hymenoptera_data"), n_trials=40)

The value reported after an epoch is the share of the images in ``data/val`` that are classified correctly, in [0, 1].
The one returned is the best of them, since the weights that are kept are those of the best epoch. It flatters: images
that no decision was made by tell better what the chosen model can do.

On a worker the best weights are saved as the trial's ``model.pt``, and a trial that was cut off or paused goes on from
its checkpoint with the very values that it would have had. Every epoch draws its randomness from a seed of its own, so
that there is no generator whose state would have to be kept.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

# The first optimizer of a process makes torch.optim import this, which takes over a second. Imported here,
# that is paid while a process warms up and not inside its first trial.
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor

from tasks.objectives.image_folder import Loading, find_classes, training_transform, validation_transform
from tasks.objectives.image_models import IMAGENET, Classifier, build, check_names, freeze


def objective(
    trial: optuna.Trial,
    *,
    data: str = "data/hymenoptera_data",
    models: Sequence[str] = ("resnet18", "alexnet", "vgg16"),
    weights: str = IMAGENET,
    epochs: int = 20,
    frozen_epochs: int = 0,
    image_size: int = 224,
    batch_size: int = 32,
    smallest_crop: float = 0.08,
    workers: int | None = None,
    threads: int = 1,
    checkpoint_every: int = 1,
    seed: int = 0,
) -> float:
    """Train one network; return its best validation accuracy, in [0, 1].

    Reports the accuracy after each epoch, counted from 1, and raises ``optuna.TrialPruned`` when the trial is to stop.
    The same parameters, arguments and number of the trial give the same values on a CPU.

    Args:
        trial: Optuna's, or a worker's.
        data: A folder with ``train/CLASS`` and ``val/CLASS``, as seen from where the worker was started.
        models: What the parameter ``model`` is chosen from: classification models of torchvision, or
            ``efficientnet_lite0``.
        weights: ``imagenet``, ``none`` to train from scratch, or a file with a state dict, for one model.
        epochs: Of a full trial.
        frozen_epochs: For how many epochs, from the first, only the new last layer is trained. Where there are any,
            batch norms keep their statistics afterwards too.
        image_size: Side of the images that the network is given, in pixels.
        batch_size: Images to a step.
        smallest_crop: The smallest share of a training image's area that its augmentation leaves of it.
        workers: Processes that prepare images, for each of the two parts; by default up to 4 beside a GPU, and none on
            a CPU, which has nothing to overlap them with.
        threads: Of a trial on a CPU. One for each of the trials that share the cores; other counts add in another
            order, so that values differ in their last digits.
        checkpoint_every: Epochs from one checkpoint to the next; large networks take a while to write.
        seed: Of all that is random, together with the trial's number.

    Raises:
        FileNotFoundError: images or weights are not there; the message says where they come from and where they go.
        ModuleNotFoundError: a model's package is not installed.
        ValueError: the folder, a model or an argument is not what it should be.
    """
    check_names(models)
    if weights not in (IMAGENET, "none") and len(models) > 1:
        raise ValueError(f"weights = {weights!r} can only be one model's, but models has {len(models)}")
    classes = find_classes(Path(data))
    name = trial.suggest_categorical("model", list(models))
    optimizer_name = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if workers is None:
        workers = min(4, os.cpu_count() or 1) if device.type == "cuda" else 0
    with _repeatable(device, threads):
        with _seeded(device, seed, trial.number):
            classifier = build(name, len(classes), weights=weights, image_size=image_size)
        training = Training(classifier, optimizer_name, lr, epochs, frozen_epochs, device)
        checkpoint = _where_offered(trial, "load_checkpoint")
        if checkpoint is not None:
            training.resume(checkpoint.state)
        normalization = classifier.normalization
        train = training_transform(image_size, normalization, smallest_crop)
        images = Loading(
            Path(data),
            classes,
            (train, validation_transform(image_size, normalization)),
            batch_size=batch_size,
            workers=workers,
            pinned=device.type == "cuda",
        )

        while training.epoch < epochs:
            epoch = training.epoch + 1
            with _seeded(device, seed, trial.number, epoch):
                training.train(images.training(derived_seed(seed, trial.number, epoch, 1)))
            accuracy = training.validate(images.validation())
            trial.report(accuracy, step=epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
            if epoch % checkpoint_every == 0:
                _where_offered(trial, "save_checkpoint", training.state(), epoch)
    model = {"model": name, "classes": classes, "image_size": image_size, **training.best}
    _where_offered(trial, "save_model", model)
    return float(training.best["accuracy"])


class Training:
    """One network on its way through the epochs: all that decides what the next epoch gives, and the best so far."""

    def __init__(
        self, classifier: Classifier, optimizer: str, lr: float, epochs: int, frozen_epochs: int, device: torch.device
    ) -> None:
        self.epoch = 0
        self.best: dict[str, Any] = {"accuracy": -math.inf, "epoch": 0, "state_dict": {}}
        self._classifier = classifier
        self._frozen_epochs = frozen_epochs
        self._device = device
        self._layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self._network = classifier.network.to(device).to(memory_format=self._layout)
        self._half = _half_precision(device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._half is torch.float16)
        parameters = list(self._network.parameters())
        self._optimizer: torch.optim.Optimizer
        if optimizer == "adam":
            self._optimizer = torch.optim.Adam(parameters, lr=lr)
        else:
            self._optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, T_max=max(epochs, 1))

    def train(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Trains one epoch. What is frozen gets no gradient, and the optimizers leave it as it is."""
        freeze(self._classifier, features=self.epoch < self._frozen_epochs, statistics=self._frozen_epochs > 0)
        for images, labels in batches:
            self._optimizer.zero_grad()
            with self._precision():
                loss = F.cross_entropy(self._scores(images), labels.to(self._device, non_blocking=True))
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self._scaler.step(self._optimizer)
            self._scaler.update()
        self._schedule.step()
        self.epoch += 1

    @torch.no_grad()
    def validate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Returns the accuracy, in [0, 1]; keeps the weights where it is the best so far."""
        self._network.eval()
        hits = torch.zeros((), dtype=torch.int64, device=self._device)
        count = 0
        for images, labels in batches:
            with self._precision():
                scores = self._scores(images)
            hits += (scores.argmax(dim=1) == labels.to(self._device, non_blocking=True)).sum()
            count += len(labels)
        accuracy = hits.item() / count
        if accuracy > self.best["accuracy"]:
            weights = {key: value.detach().to("cpu", copy=True) for key, value in self._network.state_dict().items()}
            self.best = {"accuracy": accuracy, "epoch": self.epoch, "state_dict": weights}
        return accuracy

    def _scores(self, images: Tensor) -> Tensor:
        moved = images.to(self._device, non_blocking=True, memory_format=self._layout)
        scores: Tensor = self._network(moved)
        return scores

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=self._half, enabled=self._half is not None)

    def state(self) -> dict[str, Any]:
        """Returns it all as tensors and plain data."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "epoch": self.epoch,
            "best": self.best,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` returned once."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self.epoch = state["epoch"]
        self.best = state["best"]


def derived_seed(*numbers: int) -> int:
    """Returns a seed in [0, 2**63) that differs for other numbers, and is the same everywhere for the same ones."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextlib.contextmanager
def _seeded(device: torch.device, *numbers: int) -> Iterator[None]:
    """Seeds torch's own generators, from which dropout and fresh layers draw; afterwards they are as they were."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(*numbers))
        yield


@contextlib.contextmanager
def _repeatable(device: torch.device, threads: int) -> Iterator[None]:
    """Settings of the whole process that a trial needs; afterwards they are as they were."""
    before, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    if device.type == "cpu":
        torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = deterministic


def _half_precision(device: torch.device) -> torch.dtype | None:
    """Returns what to compute in on a GPU: bfloat16 where it can, since that needs no scaling of the loss."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _where_offered(trial: optuna.Trial, method: str, *arguments: object) -> Any:
    """Calls what a worker's trial has and Optuna's own has not; there it does nothing, and returns ``None``."""
    found = getattr(trial, method, None)
    return None if found is None else found(*arguments)
