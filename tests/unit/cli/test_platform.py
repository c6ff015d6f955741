"""A platform that cannot run this program is refused in one line, before anything that needs more is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

ELSEWHERE = """
import os, platform, runpy, sys
import click, shutil  # a real Windows has what these need there
sys.platform, platform.system = {platform!r}, lambda: {system!r}
sys.modules["fcntl"] = None
del os.fork
sys.argv = [{module!r}, *{arguments!r}]
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def run_on(platform: str, system: str, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = ELSEWHERE.format(platform=platform, system=system, module=module, arguments=arguments)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("platform", "system"), [("win32", "Windows"), ("darwin", "Darwin")])
@pytest.mark.parametrize(
    ("module", "arguments"),
    [("orchestrator", ("run", "search.toml")), ("orchestrator", ("--help",)), ("tasks.worker", ("--slots", "1"))],
)
def test_another_system_is_refused(platform: str, system: str, module: str, arguments: tuple[str, ...]) -> None:
    done = run_on(platform, system, module, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{module.removeprefix('tasks.')}: this program runs on Linux, not on {system}; "
        "run it in a Linux container, in WSL 2 or on a Linux machine\n"
    )


def test_the_version_is_shown() -> None:
    from importlib.metadata import version

    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"orchestrator, version {version('trial-orchestrator')}\n"
