"""Checks of this host: installed packages, CUDA, free disk space."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from orchestrator.common.formatting import count
from orchestrator.doctor.facts import Facts, Installation
from orchestrator.doctor.finding import Code, Finding, Severity

FOR_TRAINING = frozenset({"torch", "torchvision"})
"""Packages that a host can do without on which nothing is trained."""

DISK_LOW = 2 * 10**9
DISK_FULL = 2 * 10**8
"""Bytes."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the installation."""
    here = facts.installation
    if not here.python_fits:
        yield Code.PYTHON_VERSION.finding(
            f"Python {here.python}",
            f"this program needs {here.python_wanted}",
            "make the virtual environment anew with a newer one",
        )
    if not here.version:
        yield Code.NOT_INSTALLED.finding(
            f"Python {here.python}",
            "trial-orchestrator is not installed as a package, so versions could not be compared",
            "pip install . in its checkout, or a wheel that `make dist` builds there",
        )
    else:
        yield from _packages(here)
    yield from _cuda(here)
    folder, what = facts.setup.data_dir, "checkpoints, models and logs go there"
    remedy = "make room, by deleting studies too, or set ORCHESTRATOR_DATA_DIR to another disk"
    if here.inodes_free == 0:
        yield Code.DISK_FULL.finding(
            folder,
            f"its disk takes no more files, for it has no inode left; {what}",
            remedy,
            command=f"du -x --inodes -d 2 {shlex.quote(folder)}",
        )
    elif here.disk_free is not None and here.disk_free < DISK_LOW:
        yield disk_full(folder, here.disk_free, what, remedy)


def disk_full(folder: str, free: int, what: str, remedy: str) -> Finding:
    """Returns the finding of a disk with little room; the command shows what needs it."""
    return Code.DISK_FULL.finding(
        folder,
        f"{free / 10**6:.0f} MB are free on its disk; {what}",
        remedy,
        severity=Severity.PROBLEM if free < DISK_FULL else Severity.WARNING,
        command=f"du -xh -d 2 {shlex.quote(folder)}",
    )


def _packages(here: Installation) -> Iterator[Finding]:
    wrong = [package for package in here.packages if not package.fits]
    right = count(len(here.packages) - len(wrong), "package")
    yield Code.PACKAGES.finding(
        f"trial-orchestrator {here.version}",
        f"Python {here.python}, {right} as required" + (f", {count(here.gpus, 'GPU')}" if here.gpus else ""),
    )
    for package in wrong:
        required = f"{package.name}{package.wanted}"
        if package.found is not None:
            yield Code.PACKAGE_VERSION.finding(
                f"{package.name} {package.found}",
                f"this program was made for {package.wanted}",
                f"pip install '{required}'",
            )
        elif package.name in FOR_TRAINING:
            yield Code.PACKAGE_MISSING.finding(
                package.name,
                "is not installed; a host on which nothing is trained can do without",
                f"where trials train: pip install '{required}'",
                severity=Severity.NOTE,
            )
        else:
            yield Code.PACKAGE_MISSING.finding(package.name, "is not installed", f"pip install '{required}'")


def _cuda(here: Installation) -> Iterator[Finding]:
    torch = next((package.found for package in here.packages if package.name == "torch"), None)
    if here.gpus and torch is not None and torch.endswith("+cpu"):
        yield Code.CUDA_MISSING.finding(
            f"torch {torch}",
            f"cannot use this host's {count(here.gpus, 'GPU')}: it was built for the CPU alone",
            "install the build with CUDA: pip install --force-reinstall torch torchvision",
        )
