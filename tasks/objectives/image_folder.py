"""Images in folders named after their classes, as batches of tensors that depend on a seed and on nothing else.

::

    DATA/train/ants/1.jpg        DATA/val/ants/7.jpg
    DATA/train/bees/2.jpg        DATA/val/bees/8.jpg
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.datasets import folder as image_files
from torchvision.transforms import (
    CenterCrop,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToTensor,
)

from tasks.objectives.image_models import Normalization

_ARCHIVE = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"


def find_classes(data: Path) -> list[str]:
    """Returns the names of the classes, sorted: the same in ``data/train`` and ``data/val``.

    Raises:
        FileNotFoundError: a folder is not there.
        ValueError: there are fewer than two classes, one without images, or other ones in ``val`` than in ``train``.
    """
    data = data.expanduser().absolute()
    if not data.is_dir():
        raise FileNotFoundError(
            f"there is no folder {data}: for ants and bees, download {_ARCHIVE}, the images of PyTorch's tutorial on "
            f"transfer learning, and unpack it so that {data / 'train' / 'ants'} is there; for images of your own set "
            "the argument `data`"
        )
    train, validation = (_subfolders(data / part) for part in ("train", "val"))
    if train != validation:
        raise ValueError(
            f"{data / 'train'} and {data / 'val'} must have the same classes, but one of them lacks "
            f"{', '.join(sorted(set(train) ^ set(validation)))}"
        )
    return train


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder.parent} has no folder {folder.name}: it must have train and val")
    # A hidden folder is some program's, never a class.
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if len(found) < 2:
        raise ValueError(f"{folder} must have a folder for each of at least two classes, but has {len(found)}")
    for name in found:
        if not any(_is_image(str(path)) for path in (folder / name).rglob("*")):
            raise ValueError(f"{folder / name} has no images; known are {', '.join(image_files.IMG_EXTENSIONS)}")
    return found


def _is_image(path: str) -> bool:
    name = os.path.basename(path)
    return not name.startswith(".") and bool(image_files.has_file_allowed_extension(name, image_files.IMG_EXTENSIONS))


def training_transform(side: int, normalization: Normalization, smallest_crop: float) -> Compose:
    """Image to float32 (3, side, side): a random part of at least ``smallest_crop`` of its area, perhaps mirrored."""
    return Compose(
        [
            RandomResizedCrop(side, scale=(smallest_crop, 1.0)),
            RandomHorizontalFlip(),
            ToTensor(),
            Normalize(*normalization),
        ]
    )


def validation_transform(side: int, normalization: Normalization) -> Compose:
    """Image to float32 (3, side, side): its middle, with the margin that is usual, 256 to 224."""
    return Compose(
        [
            Resize(round(side * 256 / 224)),
            CenterCrop(side),
            ToTensor(),
            Normalize(*normalization),
        ]
    )


class _Images(Dataset[tuple[Tensor, int]]):
    """An item's key is (index, seed): which image, and what all that is random about it is drawn from.

    So an image is the same one whichever process prepares it, and whatever was prepared before.
    """

    def __init__(self, folder: Path, classes: Sequence[str], transform: Compose) -> None:
        indices = {name: index for index, name in enumerate(classes)}
        self.samples = image_files.make_dataset(str(folder), indices, is_valid_file=_is_image)
        self._transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        index, seed = key
        path, label = self.samples[index]
        image = image_files.default_loader(path)
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU too, where dropout draws
            return self._transform(image), label
        finally:
            torch.set_rng_state(before)


class Batches(Sampler[list[tuple[int, int]]]):
    """Keys of images in batches. A single image that is left over joins the batch before: a batch norm needs two."""

    def __init__(self, count: int, size: int, shuffled: bool) -> None:
        self._count = count
        self._size = size
        self._shuffled = shuffled
        self.seed = 0

    def _bounds(self) -> list[int]:
        bounds = [*range(0, self._count, self._size), self._count]
        if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
            del bounds[-2]
        return bounds

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(self._count, generator=random) if self._shuffled else torch.arange(self._count)
        seeds = torch.randint(2**63 - 1, (self._count,), generator=random)
        keys = list(zip(order.tolist(), seeds.tolist(), strict=True))
        bounds = self._bounds()
        return (keys[begin:end] for begin, end in itertools.pairwise(bounds))


class Loading:
    """The batches of both parts, each float32 (n, 3, side, side) and int64 (n,).

    Args:
        data: The folder with ``train`` and ``val``.
        classes: As ``find_classes`` gives them; a label is an index into them.
        transforms: Those of ``train`` and of ``val``.
        batch_size: How many images a batch has, but for the last one.
        workers: How many processes of their own prepare each part, as long as this object lives; with 0, this one does.
        pinned: Whether batches lie in memory that a GPU can fetch by itself.
    """

    def __init__(
        self,
        data: Path,
        classes: Sequence[str],
        transforms: tuple[Compose, Compose],
        *,
        batch_size: int,
        workers: int,
        pinned: bool,
    ) -> None:
        train, validation = (
            _Images(data.expanduser() / part, classes, transform)
            for part, transform in zip(("train", "val"), transforms, strict=True)
        )
        self._order = Batches(len(train), batch_size, shuffled=True)

        def loader(images: _Images, order: Batches) -> DataLoader[tuple[Tensor, int]]:
            return DataLoader(
                images,
                batch_sampler=order,
                num_workers=workers,
                persistent_workers=workers > 0,
                pin_memory=pinned,
                # Without one, every epoch would draw from torch's global generator.
                generator=torch.Generator(),
            )

        self._train = loader(train, self._order)
        self._validation = loader(validation, Batches(len(validation), batch_size, shuffled=False))

    def training(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All training images once, in the order and with the augmentation that ``seed`` gives."""
        self._order.seed = seed
        yield from self._train

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All validation images once, in the order of their names."""
        yield from self._validation
