"""Checks of this host: installed packages, CUDA, free disk space; and of the clocks of all hosts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from orchestrator.common.formatting import count, duration, listed
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


APART = 5.0
"""Seconds. A difference ends no lease, but falsifies every time that is shown or compared."""


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the clocks of servers, control plane and workers, against this host's."""
    clocks = {"Redis": facts.redis.clock, "the database": facts.database.clock}
    clocks["the control plane"] = facts.redis.writers_clock
    clocks |= {f"worker {each.name}": each.clock for each in facts.workers.workers}
    known = {name: clock for name, clock in clocks.items() if clock is not None}
    apart = {name: clock for name, clock in known.items() if abs(clock.offset) - clock.within > APART}
    for name, clock in apart.items():
        direction = "ahead of" if clock.offset > 0 else "behind"
        yield Code.CLOCK_APART.finding(
            name,
            f"its clock is {duration(abs(clock.offset))} {direction} this host's; no lease ends by that, but the times "
            "of trials and the ages shown here are wrong by as much",
            "set both by NTP: timedatectl set-ntp true",
            command="timedatectl set-ntp true",
        )
    if alike := [name for name in known if name not in apart]:
        yield Code.CLOCKS.finding("clocks", f"within {APART:g} s of this host's: {listed(alike)}")
