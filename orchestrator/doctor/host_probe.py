"""Facts of this host: installed packages and free disk space, found without heavy imports."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from orchestrator.doctor.facts import Installation, Package
from tasks.contract import VERSION

DISTRIBUTION = "trial-orchestrator"


def read_installation(data_dir: Path) -> Installation:
    """Returns what there is on this host.

    Args:
        data_dir: The data folder, which need not be there.
    """
    python = platform.python_version()
    free, inodes = _free(data_dir)
    found = Installation(
        python=python,
        gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))),
        disk_free=free,
        inodes_free=inodes,
        protocol=VERSION,
    )
    try:
        ours = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return found
    wanted = ours.metadata["Requires-Python"] or ""
    return replace(
        found,
        python_wanted=wanted,
        python_fits=SpecifierSet(wanted).contains(python, prereleases=True),
        version=ours.version,
        packages=tuple(map(_package, _required(ours))),
    )


def _required(ours: metadata.Distribution) -> list[Requirement]:
    """Returns what this program needs on this kind of host, without its extras."""
    given = map(Requirement, ours.requires or ())
    return [each for each in given if each.marker is None or each.marker.evaluate({"extra": ""})]


def _package(wanted: Requirement) -> Package:
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Package(wanted.name, str(wanted.specifier), None, fits=False)
    fits = wanted.specifier.contains(found, prereleases=True)
    return Package(wanted.name, str(wanted.specifier), found, fits)


def _free(folder: Path) -> tuple[int | None, int | None]:
    """Returns the free bytes and inodes of the disk of a folder, as far as they are known."""
    # No error where this user may not even look.
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None, None
    return disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else None
