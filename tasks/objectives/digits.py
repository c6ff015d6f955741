"""A small convolutional network on scikit-learn's 1797 handwritten digits: a full trial takes seconds.

It is an ordinary Optuna objective and knows of nothing but Optuna::

    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=40)

The value, reported after every epoch and returned after the last, is the share of validation images that are
classified correctly, in [0, 1]. The learning rate falls to zero along a cosine over ``epochs``, so the last
epoch is the settled one, and its accuracy is returned as it is: to pick the best epoch by the validation set
would flatter it.

Where the trial can keep checkpoints, as on a worker, one is saved after every epoch, and a trial that was cut off or
paused goes on from it with the very values that it would have had. The trained network is saved at the end, where the
trial can keep models. Optuna's own trial can do neither.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

# The first optimizer of a process makes torch.optim import this, which takes over a second. Imported here,
# that is paid while a process warms up and not inside its first trial.
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10
SIDE = 8  # pixels
VALIDATION_SHARE = 0.5  # half: enough to learn from, and one image more or less is only 0.1 % of accuracy
SPLIT_SEED = 0


@functools.cache
def load() -> tuple[Tensor, Tensor]:
    """All images, float32 (1797, 1, 8, 8) in [0, 1], and labels, int64 (1797,). Shared: never write to them.

    The file is the one behind ``sklearn.datasets.load_digits``, read without importing scikit-learn: that
    import takes 0.9 s, reading the file 10 ms.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the digits come with scikit-learn; install it", name="sklearn")
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = torch.from_numpy(table[:, :-1]).float().div_(16).view(-1, 1, SIDE, SIDE)  # 16 is white
    return images, torch.from_numpy(table[:, -1]).long()


@functools.cache
def split() -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation images, int64, sorted: the same ones in every process.

    Stratified: each class gives the same share of its images. ``RandomState`` because NumPy promises that its
    numbers never change, which it does not for ``default_rng``.
    """
    labels = load()[1].numpy()
    random = np.random.RandomState(SPLIT_SEED)
    held_out = np.zeros(len(labels), dtype=bool)
    for digit in range(CLASSES):
        members = random.permutation(np.flatnonzero(labels == digit))
        held_out[members[: round(len(members) * VALIDATION_SHARE)]] = True
    return torch.from_numpy(np.flatnonzero(~held_out)), torch.from_numpy(np.flatnonzero(held_out))


class Network(nn.Module):
    """Images (n, 1, 8, 8) to class scores (n, 10). ``width`` is the number of channels of the first layer.

    All randomness (initial weights, dropout) comes from ``random``, a generator on the network's device.
    Torch's global one is neither used nor reseeded, so trials may share a process, even at the same time.
    """

    def __init__(self, width: int, dropout: float, random: torch.Generator) -> None:
        super().__init__()
        self.dropout = dropout
        self.random = random
        skip_init = functools.partial(nn.utils.skip_init, device=random.device)
        self.conv1 = skip_init(nn.Conv2d, 1, width, 3, padding=1)
        self.conv2 = skip_init(nn.Conv2d, width, 2 * width, 3, padding=1)
        self.conv3 = skip_init(nn.Conv2d, 2 * width, 2 * width, 3, padding=1)
        self.scores = skip_init(nn.Linear, 2 * width * (SIDE // 4) ** 2, CLASSES)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=random)
            else:
                nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.conv1(images))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.max_pool2d(F.relu(self.conv3(x)), 2).flatten(1)
        if self.training:
            kept = torch.empty_like(x).bernoulli_(1 - self.dropout, generator=self.random)
            x = x * kept / (1 - self.dropout)
        scores: Tensor = self.scores(x)
        return scores


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Settings of the whole process that a trial needs; afterwards they are as they were."""
    cudnn = torch.backends.cudnn
    threads, deterministic, benchmark = torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark
    # On a CPU, trials run side by side, one process to a core. With torch's default, a thread for each core,
    # they would take the cores from each other, and layers this small gain little from it. One thread also
    # fixes the order of every sum: the same trial gives the same values however many cores there are.
    torch.set_num_threads(1)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.deterministic, cudnn.benchmark = deterministic, benchmark


def _optimizer(name: str, network: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=lr, weight_decay=weight_decay)
    if name == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)


class Training:
    """One network on its way through the epochs: all that decides what the next epoch gives."""

    def __init__(self, network: Network, optimizer: torch.optim.Optimizer, epochs: int) -> None:
        self.network = network
        self.epoch = 0
        self.accuracy = math.nan
        self._optimizer = optimizer
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    def train(self, images: Tensor, labels: Tensor, batch_size: int) -> None:
        """Trains one epoch, in an order that is drawn anew."""
        self.network.train()
        order = torch.randperm(len(images), generator=self.network.random, device=images.device)
        for batch in torch.split(order, batch_size):
            self._optimizer.zero_grad()
            loss = F.cross_entropy(self.network(images[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        self._schedule.step()
        self.epoch += 1

    @torch.no_grad()
    def validate(self, images: Tensor, labels: Tensor) -> None:
        self.network.eval()
        hits = self.network(images).argmax(dim=1) == labels
        self.accuracy = hits.float().mean().item()

    def state(self) -> dict[str, Any]:
        """Returns it all as tensors and plain data."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": self.network.random.get_state(),
            "epoch": self.epoch,
            "accuracy": self.accuracy,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` returned once."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.network.random.set_state(state["random"])
        self.epoch = state["epoch"]
        self.accuracy = state["accuracy"]


def objective(trial: optuna.Trial, *, epochs: int = 27, seed: int = 0) -> float:
    """Train one network; return its validation accuracy after the last epoch, in [0, 1].

    Reports the accuracy after each epoch, counted from 1, and raises ``optuna.TrialPruned`` when the trial is
    to stop. The same parameters, ``epochs`` and ``seed`` give the same values on the same device.
    """
    # Wide on purpose: much of this space learns slowly, and some of it not at all. That is what a pruner is for.
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    optimizer_name = trial.suggest_categorical("optimizer", ["sgd", "adam", "rmsprop"])
    width = trial.suggest_int("width", 4, 24, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.9)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    batch_size = trial.suggest_categorical("batch_size", [32, 64, 128, 256])

    with _repeatable():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        images, labels = (tensor.to(device) for tensor in load())
        train, validation = (indices.to(device) for indices in split())
        network = Network(width, dropout, torch.Generator(device).manual_seed(seed))
        training = Training(network, _optimizer(optimizer_name, network, lr, weight_decay), epochs)
        checkpoint = trial.load_checkpoint() if hasattr(trial, "load_checkpoint") else None
        if checkpoint is not None:
            training.resume(checkpoint.state)

        while training.epoch < epochs:
            training.train(images[train], labels[train], batch_size)
            training.validate(images[validation], labels[validation])
            trial.report(training.accuracy, step=training.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
            if hasattr(trial, "save_checkpoint"):
                trial.save_checkpoint(training.state(), training.epoch)
        if hasattr(trial, "save_model"):
            trial.save_model(network.state_dict())
    return training.accuracy
