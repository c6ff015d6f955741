"""A real bash completes words: commands, options, studies, specs, rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner
from optuna.storages import RDBStorage

from orchestrator.cli import cli
from orchestrator.cli.maintenance import SHELLS

ASKED: dict[str, list[str]] = {
    "orchestrator tri": ["trials"],
    "orchestrator re": ["replay", "resume", "retry", "report"],
    "orchestrator trials ": ["second", "first"],
    "orchestrator why f": ["first"],
    "orchestrator export first --for": ["--format"],
    "orchestrator export first --format ": ["csv", "json", "parquet"],
    "orchestrator run s": ["specs/other.toml", "study.toml"],
    "orchestrator run specs/": ["specs/other.toml"],
    "orchestrator replay first --pruner hy": ["hyperband"],
    "orchestrator worker --per": ["--per-gpu"],
    "orchestrator completion ": ["bash", "zsh", "fish"],
    "orchestrator trials nosuch": [],
}
SCRIPT = """
source <(orchestrator completion bash)
while IFS= read -r line; do
    IFS=' ' read -ra COMP_WORDS <<< "$line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    COMPREPLY=()
    _orchestrator_completion orchestrator
    ( IFS=,; echo "${COMPREPLY[*]}" )
done
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory: a data folder with two studies, two specs, and other files."""
    (tmp_path / ".orchestrator").mkdir()
    storage = RDBStorage(f"sqlite:///{tmp_path}/.orchestrator/studies.db")
    for name in ("first", "second"):
        optuna.create_study(storage=storage, study_name=name)
    storage.remove_session()
    storage.engine.dispose()
    (tmp_path / "specs").mkdir()
    for name in ("study.toml", "specs/other.toml"):
        (tmp_path / name).write_text('name = "x"\nobjective = "m:f"\n')
    (tmp_path / "setup.toml").write_text('[project]\nname = "no spec"\n')
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "orchestrator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    return tmp_path


def complete(folder: Path, asked: list[str], **more: str) -> tuple[list[str], str]:
    bash = shutil.which("bash")
    assert bash is not None
    clean = {key: value for key, value in os.environ.items() if "ORCHESTRATOR_" not in key}
    clean["PATH"] = f"{folder}/bin{os.pathsep}{clean['PATH']}"
    clean["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run(
        [bash, "--norc", "-c", SCRIPT],
        input="".join(f"{line}\n" for line in asked),
        env=clean | more,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr


def test_bash_completes(folder: Path) -> None:
    told, complaints = complete(folder, list(ASKED))
    # What bash says about its own options where there is no terminal is none of ours.
    assert "Traceback" not in complaints
    assert dict(zip(ASKED, told, strict=True)) == {line: ",".join(words) for line, words in ASKED.items()}


@pytest.mark.parametrize(
    "setting",
    [
        {"ORCHESTRATOR_DATA_DIR": "nowhere"},
        {"ORCHESTRATOR_STORAGE_URL": "postgresql://unknown@127.0.0.1:1/none"},
        {"ORCHESTRATOR_STORAGE_URL": "nonsense"},
        {"ORCHESTRATOR_LEAS": "3"},
    ],
    ids=str,
)
def test_where_nothing_can_be_found_out_nothing_is_said(
    folder: Path, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    asked = {"_ORCHESTRATOR_COMPLETE": "bash_complete", "COMP_WORDS": "orchestrator trials ", "COMP_CWORD": "2"}
    done = CliRunner().invoke(cli, prog_name="orchestrator", env=asked | setting)
    assert (done.exit_code, done.output.strip(), done.stderr) == (0, "", "")
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_is_given_asks_this_program(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_ORCHESTRATOR_COMPLETE={shell}_complete" in done.output


def test_completing_a_study_loads_nothing_heavy() -> None:
    code = (
        "import sys; from orchestrator.cli import cli; from orchestrator.cli.options import _complete_study as it; "
        "it(None, None, ''); "
        "print(sorted({'torch', 'celery', 'optuna', 'sqlalchemy', 'redis', 'rich', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
