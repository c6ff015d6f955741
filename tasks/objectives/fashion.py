"""Two classes of Fashion-MNIST as a folder of images, as many as ants and bees have: 244 to train on, 152 to validate.

::

    python -m tasks.objectives.fashion data/fashion

The images come from the four files of the set (Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017), which Debian's
package ``dataset-fashion-mnist`` installs. Pullovers and coats are easily taken for one another at 28 x 28 pixels.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SOURCE = Path("/usr/share/datasets/fashion-mnist")
NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
"""By label."""
PAIR = ("pullover", "coat")
PARTS = (("train", "train", 122), ("val", "t10k", 76))
"""Folder, how its files' names begin, and images of each class."""


def write(folder: Path, source: Path = SOURCE, classes: Sequence[str] = PAIR) -> int:
    """Writes the first images of each class as grey PNG files of 28 x 28 pixels; returns how many.

    Raises:
        FileNotFoundError: a file of the set is not in ``source``.
        FileExistsError: ``folder`` is there already.
        ValueError: there is no such class, or a file is not what its name says.
    """
    if unknown := [name for name in classes if name not in NAMES]:
        raise ValueError(f"Fashion-MNIST has no class '{unknown[0]}': it has {', '.join(NAMES)}")
    parts = [(part, count, *_read(source, prefix)) for part, prefix, count in PARTS]
    if folder.exists():
        raise FileExistsError(f"{folder} is there already: remove it, or name another")
    written = 0
    for part, count, images, labels in parts:
        for name in classes:
            target = folder / part / name
            target.mkdir(parents=True)
            for index in np.flatnonzero(labels == NAMES.index(name))[:count]:
                Image.fromarray(images[index]).save(target / f"{index:05}.png")
                written += 1
    return written


def _read(source: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns images (n, 28, 28) and labels (n,)."""
    images = _idx(source / f"{prefix}-images-idx3-ubyte.gz")
    labels = _idx(source / f"{prefix}-labels-idx1-ubyte.gz")
    if images.shape != (len(labels), 28, 28):
        raise ValueError(f"{source}: {prefix} has images {images.shape} and labels {labels.shape}")
    return images, labels


def _idx(file: Path) -> NDArray[np.uint8]:
    """Reads a file in idx format: two zeros, the type (8: unsigned bytes), the number of dimensions, their sizes."""
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there: install Debian's package dataset-fashion-mnist, or give the folder that has the "
            "four files of Fashion-MNIST (train-images-idx3-ubyte.gz and so on) with --source"
        )
    try:
        data = gzip.decompress(file.read_bytes())
        if data[:3] != b"\0\0\x08":
            raise ValueError("it does not begin as one")
        sizes = np.frombuffer(data, ">u4", count=data[3], offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise ValueError(f"{file} is no idx file of bytes: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tasks.objectives.fashion", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="is made, with train and val in it")
    parser.add_argument("--source", type=Path, default=SOURCE, help="where the set's files are (%(default)s)")
    parser.add_argument("--classes", default=",".join(PAIR), help="of " + ", ".join(NAMES) + " (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        count = write(given.folder, given.source, given.classes.split(","))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{count} images in {given.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
