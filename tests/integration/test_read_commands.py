"""`why` and `replay` as a user calls them: what they print, and that they need and change nothing but the database."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import PATIENCE

from orchestrator.cli import main
from orchestrator.model.changeset import Changes, DecisionRow, TrialEnd
from orchestrator.spec.model import validate
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tests import preloaded, prepared_databases

AT = 1_700_000_000.0
ASHA = "asha mode='promotion' reduction_factor=3"
SPEC = {
    "name": "search",
    "objective": "objectives:steady",
    "trials": 3,
    "max_steps": 3,
    "pruner": {"name": "median", "n_startup_trials": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `run` leaves it: two trials that completed, and one that the median pruned."""
    made = tmp_path_factory.mktemp("looking") / "data"
    made.mkdir()
    database = Database(prepared_databases.sqlite(made / "studies.db"))
    lease = WriterLease(database, 60.0)
    assert lease.acquire() is None
    store = Store(database, lease)
    store.create(validate(SPEC, "test"), AT)
    for number, curve in enumerate(([0.5, 0.3, 0.2], [0.4, 0.3, 0.1], [0.9])):
        at = AT + 10 * number
        changes = Changes(new_trials={number: at}, values=[(number, step, value) for step, value in enumerate(curve)])
        changes.ends[number] = TrialEnd("PRUNED" if number == 2 else "COMPLETE", (curve[-1],), at + 5)
        if number == 2:
            changes.decisions.append(DecisionRow(2, "prune", "median", 0, 0.9, 0.45, 2, at + 5))
        store.commit({"search": changes})
    lease.release()
    store.close()
    database.close()
    return made.parent


def call(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    settings = clean | {"ORCHESTRATOR_DATA_DIR": "data"} | environment
    return preloaded.run(*arguments, environment=settings, folder=folder, seconds=PATIENCE)


def test_why(folder: Path) -> None:
    done = call(folder, "why", "search", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "trial 2 was pruned at epoch 0: best value so far 0.9, the median of 2 completed trials at epoch 0 is 0.45",
        "  (2 of 3 epochs not trained)",
    ]


def test_why_for_programs(folder: Path) -> None:
    done = call(folder, "why", "search", "2", "--json")
    answer = json.loads(done.stdout)
    assert (answer["state"], answer["decision"]["threshold"], answer["epochs"]) == ("PRUNED", 0.45, 1)


def test_replay(folder: Path) -> None:
    url = f"sqlite:///{folder}/data/studies.db"
    rules = ["--pruner", "median n_startup_trials=1", "--pruner", "none"]
    done = call(folder, "replay", "search", *rules, ORCHESTRATOR_STORAGE_URL=url, ORCHESTRATOR_DATA_DIR="elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    table = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in table[3:6]] == ["as", "median", "none"]
    # Its own rule has pruned the same; without any, the third trial would have gone on.
    assert table[4][-7:] == ["7", "0", "1", "–", "0.1000", "1", "kept"]
    assert table[5][-9:] == ["≥", "7", "≤", "0", "0", "1", "0.1000", "1", "kept"]
    assert not (folder / "elsewhere").exists()


def test_replay_of_a_specs_pruner_for_programs(folder: Path) -> None:
    (folder / "other.toml").write_text(
        'name = "other"\nobjective = "m:f"\ntrials = 9\n[pruner]\nname = "threshold"\nlower = 0.15\n'
    )
    done = call(folder, "replay", "search", "--pruner", "other.toml", "--json")
    recorded, threshold = json.loads(done.stdout)
    assert (recorded["recorded"], recorded["epochs_trained"], recorded["pruned"]) == (True, 7, 1)
    assert (threshold["rule"], threshold["pruned"], threshold["winner_pruned_at"]) == ("threshold", 1, 2)
    assert threshold["best"] == {"number": 0, "value": 0.2, "rank": 2}


def test_replay_of_rules_that_promote_and_of_several_studies(folder: Path) -> None:
    rules = ["--pruner", ASHA, "--pruner", "index"]
    done = call(folder, "replay", "search", *rules)
    assert (done.returncode, done.stderr) == (0, "")
    remark = " ".join(done.stdout.split())
    assert f"{ASHA}, index: searched among the recorded curves, with 1 slot; what it would have asked for" in remark
    _, asha, index = json.loads(call(folder, "replay", "search", *rules, "--json").stdout)
    # Rungs at 1 and 3: one of three goes on from epoch 1, where the winner is level with the first.
    assert (asha["next_unknown"], asha["pruned"], asha["winner_pruned_at"]) == (True, 2, 1)
    assert index["next_unknown"]
    both = call(folder, "replay", "search", "search", "--pruner", "none", "--json")
    assert len(json.loads(both.stdout)) == 2, "one study, named twice"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["why", "serach", "2"], "study 'serach': there is none of that name in this database; did you mean 'search'?"),
        (["why", "search", "3"], "trial 3: there is no such trial; study 'search' has 3 trials, 0 to 2"),
        (["why", "search", "two"], "trial 'two': is not a number; study 'search' has 3 trials, 0 to 2"),
        (["why", "search"], "Missing argument 'TRIAL'"),
        (["replay", "search"], "Missing option '--pruner'"),
        (["replay", "search", "--pruner", "medain"], "did you mean 'median'?"),
        (["replay", "search", "--pruner", "median n_startup=2"], "n_startup_trials"),
        (["replay", "search", "--pruner", "index min_resource=9"], "min_resource: is 9, and max_steps is 3"),
        (["replay", "search", "--pruner", "nowhere.toml"], "nowhere.toml: there is no such file"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_input(folder: Path, arguments: list[str], expected: str) -> None:
    done = call(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


@pytest.mark.parametrize("command", [["why", "search", "2"], ["replay", "search", "--pruner", "none"]])
def test_a_folder_in_which_nothing_was_run(tmp_path: Path, command: list[str]) -> None:
    done = call(tmp_path, *command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "data/studies.db: there is no such database; run a search first" in done.stderr
    assert list(tmp_path.iterdir()) == []


# -- lists, tables, logs ------------------------------------------------------------------------------------------


class Caller:
    """Calls commands in this process; each one as a process of its own would cost a second of imports."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        self._monkeypatch = monkeypatch
        self._capture = capture
        monkeypatch.chdir(folder)
        for key in list(os.environ):
            if key.startswith("ORCHESTRATOR_"):
                monkeypatch.delenv(key)
        monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", "data")

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["orchestrator", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capture.readouterr()
        return code, out.decode(), err.decode()


@pytest.fixture
def run_command(folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Caller:
    return Caller(folder, monkeypatch, capfdbinary)


def test_trials(run_command: Caller) -> None:
    code, out, err = run_command("trials", "search", "--sort", "value")
    assert (code, err) == (0, "")
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["trial", "state", "value", "epochs"],
        ["*1", "COMPLETE", "0.1000", "3"],
        ["0", "COMPLETE", "0.2000", "3"],
        ["2", "PRUNED", "0.9000", "1"],
        [],
        ["*", "the", "best", "trial"],
    ]
    assert run_command("trials", "search", "--state", "fail")[1] == "no trials that are fail\n"
    assert run_command("trials", "search", "-n", "1")[1].splitlines()[1].split()[0] == "2"
    code, out, _ = run_command("trials", "search", "--json", "--state", "COMPLETE", "--reverse")
    assert [(each["number"], each["best"], each["values"]) for each in json.loads(out)] == [
        (1, True, [0.1]),
        (0, False, [0.2]),
    ]


def test_export(run_command: Caller, tmp_path: Path) -> None:
    code, out, err = run_command("export", "search")
    assert (code, err) == (0, "")
    assert [(row["number"], row["state"], row["value"]) for row in csv.DictReader(io.StringIO(out))] == [
        ("0", "COMPLETE", "0.2"),
        ("1", "COMPLETE", "0.1"),
        ("2", "PRUNED", "0.9"),
    ]
    assert len(run_command("export", "search", "--epochs")[1].splitlines()) == 1 + 7
    for name in ("trials.csv", "trials.json", "trials.parquet", "named"):
        assert run_command("export", "search", "-o", str(tmp_path / name)) == (0, "", "")
    assert (tmp_path / "named").read_text() == (tmp_path / "trials.csv").read_text() == out
    assert len(json.loads((tmp_path / "trials.json").read_text())) == 3
    assert (tmp_path / "trials.parquet").read_bytes()[:4] == b"PAR1"
    (tmp_path / "link.csv").symlink_to(tmp_path / "trials.csv")
    assert run_command("export", "search", "--epochs", "-o", str(tmp_path / "link.csv"))[0] == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "trials.csv").read_text().startswith("number,step,value\n"), "what it leads to is replaced"
    code, out, err = run_command("export", "search", "-o", str(tmp_path / "trials.xlsx"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "ends with none of .csv, .json, .parquet" in err
    code, out, err = run_command("export", "search", "-o", str(tmp_path / "nowhere" / "trials.csv"))
    assert (code, err.count("\n"), "cannot be written: No such file or directory" in err) == (2, 1, True)
    assert {each.name for each in tmp_path.iterdir()} == {
        *("trials.csv", "trials.json", "trials.parquet"),
        "named",
        "link.csv",
    }


def test_retry_refuses_what_cannot_be_retried(run_command: Caller) -> None:
    assert run_command("retry", "search", "7")[2].startswith("orchestrator: trial 7: there is no such trial")
    assert run_command("retry", "serach", "0")[2].endswith("did you mean 'search'?\n")


def test_a_log_for_programs(run_command: Caller, folder: Path) -> None:
    log = folder / "data" / "logs" / "studies" / "search" / "trial-00002.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"epoch 1\r\n\xff\x1b[31m\nno end")
    _, out, _ = run_command("logs", "search", "2", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"line": "epoch 1"},
        {"line": "\\xff\x1b[31m"},
        {"line": "no end"},
    ]


def test_validate_says_what_a_spec_without_a_rule_gets(run_command: Caller, folder: Path) -> None:
    (folder / "theirs.py").write_text("def f(trial):\n    return 0.0\n")
    lines = {}
    for name, more in (("silent", ""), ("none", 'pruner.name = "none"\n'), ("named", 'pruner.name = "median"\n')):
        (folder / "valid.toml").write_text(f'name = "n"\nobjective = "theirs:f"\ntrials = 9\n{more}')
        code, out, lines[name] = run_command("validate", "valid.toml")
        assert (code, out.count("\n")) == (0, 2)
    assert "there is no [pruner], so a new study prunes by 'median' from step 5 on" in lines["silent"]
    assert "no trial is stopped early" in lines["none"]
    assert lines["named"] == ""


def test_validate_for_programs(run_command: Caller, folder: Path) -> None:
    (folder / "valid.toml").write_text('name = "n"\nobjective = "theirs:f"\ntrials = 9\n')
    (folder / "theirs.py").write_text("def f(trial):\n    return 0.0\n")
    code, out, _ = run_command("validate", "valid.toml", "--json")
    found = json.loads(out)
    assert (code, found["spec"], found["name"], found["trials"]) == (0, "valid.toml", "n", 9)
    assert found["pruner"]["name"]


@pytest.mark.parametrize(("more", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["plain", "NO_COLOR"])
def test_colours_are_for_terminals(folder: Path, more: dict[str, str], colours: bool) -> None:
    """On a real one they come, unless NO_COLOR is set; in a pipe they do not, whatever else is set."""
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"ORCHESTRATOR_DATA_DIR": str(folder / "data"), "TERM": "xterm-256color", "COLUMNS": "80"} | more
    command = [sys.executable, "-m", "orchestrator", "trials", "search"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        shown = b""
        # Linux says EIO at the end.
        with contextlib.suppress(OSError):
            while block := os.read(ours, 65_536):
                shown += block
    os.close(ours)
    assert process.returncode == 0
    assert (b"\x1b[32mCOMPLETE" in shown) is colours
    assert b"COMPLETE" in shown
    if colours:
        piped = subprocess.run(command, env=environment | {"FORCE_COLOR": "1"}, capture_output=True, check=True)
        assert b"\x1b" not in piped.stdout
