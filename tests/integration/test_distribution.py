"""The wheel of ``make dist``: it holds the program and no tests, and docs/install.md brings it to a second machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import clean_shell
import pytest
from clean_shell import run_script
from fleet import PATIENCE, ROOT, Fleet, real_servers_only, wait_for

from tests import stand_ins
from tests.installed import program
from tests.pages import all_blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CODE = ("orchestrator", "tasks")
INSTALL, WORK, SUBMIT = all_blocks("test_distribution")
OFFLINE = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
"""A test downloads nothing: the setuptools that is installed here builds the wheel."""
LENDS = f"""
"{sys.executable}" "$@"
echo "{sysconfig.get_path("purelib")}" > "$(echo venv/lib/python3*/site-packages)/lent.pth"
"""
"""Makes an environment, and lends it what the program depends on. The `.pth` files of the lender, such as that of the
checkout, do not count there."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel in a checkout in which no earlier build has left anything."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "pyproject.toml", "README.md", *CODE):
        (checkout / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [program("make"), "dist", f"PYTHON={sys.executable}"],
        cwd=checkout,
        env=os.environ | OFFLINE,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (built,) = (checkout / "dist").iterdir()
    return built


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path for folder in CODE for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert held == {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert wheel.name == f"trial_orchestrator-{PROJECT['version']}-py3-none-any.whl"


@pytest.mark.long
@real_servers_only
def test_a_second_machine_trains_with_the_wheel_alone(wheel: Path, running: Fleet) -> None:
    """The blocks of docs/install.md, from an empty folder to the end of the search."""
    servers = running.servers
    assert servers is not None
    first, second = running.folder / "first", running.folder / "second"
    first.mkdir()
    second.mkdir()
    reader = clean_shell.environment(running.folder / "bin")
    stand_ins.write_script(running.folder / "bin" / "python3", LENDS)
    written = run_script("orchestrator init mine", first, reader)
    assert written.returncode == 0, written.stderr
    spec = first / "mine" / "search.toml"
    spec.write_text(spec.read_text().replace("trials = 30", "trials = 3"))
    running.start("serve")

    (second / wheel.name).symlink_to(wheel)
    shutil.copytree(first / "mine", second / "mine")
    bare = {name: value for name, value in reader.items() if name != "PYTHONPATH"} | OFFLINE
    assert version_typed(second, bare) == PROJECT["version"]
    worker = running.launch(["sh", "-euc", here(WORK.text, servers.redis_url)], "worker", bare)
    wait_for(lambda: " ready." in worker.log.read_text() or worker.popen.poll() is not None, "the worker is ready")
    assert worker.popen.poll() is None, worker.log.read_text()

    urls = {"ORCHESTRATOR_REDIS_URL": servers.redis_url, "ORCHESTRATOR_STORAGE_URL": servers.storage_url}
    done = run_script(SUBMIT.text, first, reader | urls)
    assert done.returncode == 0, f"{done.stderr}\n{running.logs()}"
    assert "3/3" in done.stdout + done.stderr
    assert len(servers.study("mine").trials) == 3
    assert worker.stop() == 0, worker.log.read_text()


def version_typed(folder: Path, environment: Mapping[str, str]) -> str:
    """Types the block that installs the wheel; returns the version that it prints last."""
    done = run_script(INSTALL.text, folder, dict(environment))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.split()[-1]


def here(text: str, redis_url: str) -> str:
    """Returns the block with the URL of this Redis; the shell becomes the worker, so that a signal reaches it."""
    shown = "redis://:password@host:6379/0"
    assert shown in text
    return f"cd second\n{text}".replace(shown, redis_url).replace(
        "../venv/bin/orchestrator", "exec ../venv/bin/orchestrator"
    )
