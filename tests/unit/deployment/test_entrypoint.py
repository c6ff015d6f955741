"""The entrypoint of the images: passwords from files into variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment import DOCKER, entrypoint_variables


def enter(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the entrypoint with a program that prints its environment."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return subprocess.run(
        ["sh", str(DOCKER / "entrypoint.sh"), sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "SECRETS_DIR": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_entrypoint_fills_passwords_in(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("a1_b-c.2\n")
    (tmp_path / "web_password").write_text("f9")
    filled = json.loads(
        enter(
            tmp_path,
            ORCHESTRATOR_REDIS_URL="redis://:{redis_password}@redis:6379/0",
            ORCHESTRATOR_STORAGE_URL="postgresql://me:given@host/db?options=-c%20x",
            ORCHESTRATOR_FLOWER_AUTH="admin:{web_password}",
        ).stdout
    )
    assert filled["ORCHESTRATOR_REDIS_URL"] == "redis://:a1_b-c.2@redis:6379/0"
    assert filled["ORCHESTRATOR_STORAGE_URL"] == "postgresql://me:given@host/db?options=-c%20x"
    assert filled["ORCHESTRATOR_FLOWER_AUTH"] == "admin:f9"


def test_the_entrypoint_leaves_unset_what_is_not_set(tmp_path: Path) -> None:
    # An empty variable would mean something else to some programs.
    assert not set(json.loads(enter(tmp_path).stdout)) & set(entrypoint_variables())


@pytest.mark.parametrize("secret", [None, "", "with space", "a@b", "two\nlines", "quote'", "$(id)", "per%41cent"])
def test_the_entrypoint_refuses_a_password_that_would_need_escaping(tmp_path: Path, secret: str | None) -> None:
    if secret is not None:
        (tmp_path / "redis_password").write_text(secret)
    done = enter(tmp_path, ORCHESTRATOR_REDIS_URL="redis://:{redis_password}@redis:6379/0")
    assert done.returncode == 2
    assert "redis_password" in done.stderr
    assert done.stdout == ""
    assert not secret or secret not in done.stderr


def test_the_entrypoint_becomes_the_command(tmp_path: Path) -> None:
    script = ["sh", str(DOCKER / "entrypoint.sh"), "sh", "-c", "echo $$; exit 7"]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, int(output)) == (7, process.pid)
