"""What a newcomer does first: `init`, then the command that it prints."""

from __future__ import annotations

import json
from pathlib import Path

import clean_shell
from clean_shell import run_script


def test_init_writes_what_runs_as_it_is(tmp_path: Path) -> None:
    environment = clean_shell.environment(tmp_path / "bin")
    made = run_script("orchestrator init 'my search'", tmp_path, environment)
    assert (made.returncode, made.stdout) == (0, "cd 'my search' && orchestrator run search.toml\n"), made.stderr

    done = run_script(f"{made.stdout.strip()} --trials 5 --slots 2 --json", tmp_path, environment)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["study"], result["state"], sum(result["trials"].values())) == ("starter", "finished", 5)
    assert result["best"]["value"] > 0.8
    assert set(result["best"]["params"]) == {"alpha", "rate", "loss", "penalty"}
    again = run_script("orchestrator init 'my search'", tmp_path, environment)
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (2, "", 1)
