"""What tests/conftest.py promises: no test is changed by the caller's environment, and skips are counted at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installed import NotInstalled, find, program, require

ROOT = Path(__file__).parents[3]
CONFTEST = (ROOT / "tests" / "conftest.py").read_text()
TESTS = """
import os
import pytest
from tests.installed import program, require
def test_one():
    program("no-such-browser", what="A browser")
def test_two():
    program("no-such-browser", what="A browser")
def test_three():
    require("sh", "no-such-server", "no-such-client")
def test_four():
    print(sorted(os.environ))
"""
STEPS = """
from tests.installed import program
def test_steps(subtests):
    for name in ("no-such-browser", "sh", "no-such-browser"):
        with subtests.test(name):
            program(name, what="A browser")
"""
CALLERS = {
    "ORCHESTRATOR_REDIS_URL": "redis://nowhere",
    "ORCHESTRATOR_HEARTBEAT": "soon",
    "NO_COLOR": "1",
    "COLUMNS": "3",
    "PYTHONPATH": "/nowhere",
    "CI": "1",
    "PGHOST": "nowhere",
    "http_proxy": "http://nowhere",
    "PYTHONWARNINGS": "error",
}


def run(folder: Path, *options: str, tests: str = TESTS, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``tests`` in ``folder``, under our conftest."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_some.py").write_text(tests)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-rP", *options],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_last_line_counts_skips_by_reason(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == (
        "skipped: 2 (A browser is not installed), 1 (no-such-server and no-such-client are not installed)"
    )
    assert run(tmp_path, "-k", "four").stdout.splitlines()[-1] == "skipped: nothing"


def test_it_does_so_for_tests_beside_each_other(tmp_path: Path) -> None:
    done = run(tmp_path, "--numprocesses", "2")
    assert done.stdout.splitlines()[-1].startswith("skipped: 2 (A browser is not installed), 1 (")


@pytest.mark.parametrize("options", [(), ("-q",), ("-v",), ("--numprocesses", "1")], ids=" ".join)
def test_a_step_that_is_skipped_is_counted_and_the_next_one_is_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    failing = STEPS.partition("def ")[2].replace("test_steps", "test_failing")
    done = run(tmp_path, *options, tests=f"{STEPS}def {failing}            assert name != 'sh', 'it is here'\n")
    assert done.returncode == 1, done.stdout
    assert "[sh]" in done.stdout
    assert "AssertionError: it is here" in done.stdout
    assert "2 failed, 1 passed" in done.stdout, "the step, its test, and the test that has only skipped steps"
    assert done.stdout.splitlines()[-1] == "skipped: 4 (A browser is not installed)"


def test_tests_see_nothing_of_the_callers_environment(tmp_path: Path) -> None:
    bare, full = run(tmp_path, "-k", "four"), run(tmp_path, "-k", "four", **CALLERS)
    (seen,) = [line for line in bare.stdout.splitlines() if line.startswith("[")]
    assert seen in full.stdout.splitlines(), full.stdout


def test_the_order_is_turned_round(tmp_path: Path) -> None:
    found = [line.split()[0] for line in run(tmp_path, "-v", "--reversed").stdout.splitlines() if "::" in line]
    names = [line.rpartition("::")[2] for line in found if line.startswith("test_some.py")]
    assert names[:4] == ["test_four", "test_three", "test_two", "test_one"]


def test_what_is_hidden_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("sh")
    monkeypatch.setattr("tests.installed.HIDDEN", {"sh"})
    assert find("sh") is None
    with pytest.raises(NotInstalled, match=r"^sh is not installed$"):
        program("sh")
    (tmp_path / "sh").touch()
    require("sh", folder=tmp_path)
