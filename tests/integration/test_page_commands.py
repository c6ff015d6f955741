"""Every command of ours in the pages does what it says, in a folder and on a fleet such as the pages speak of.

What a block marks with ``run`` is run as a whole by the test that it names. Of all other blocks each line that calls
the program is run here, once, in the order of ``ORDER``, as a step of one test: those that look and those that steer
on one study ``digits`` that goes on, those that stay until they are told to end, and searches, each of one trial, by
a user who has no fleet.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import clean_shell
import optuna
import page_objective
import pytest
from clean_shell import run_script
from click.testing import CliRunner
from fleet import HERE, PATIENCE, ROOT, Fleet, Servers, fleet, notices, wait_for
from fleet_servers import embedded_servers
from optuna.storages import RDBStorage

from orchestrator.cli import cli
from orchestrator.model.progress_events import Progress
from tests.installed import require
from tests.pages import Block, all_blocks, command_lines, commands, outputs, program, simple_commands
from tests.servers import free_port, listens

pytestmark = pytest.mark.long

SEARCH = """
name = "{name}"
objective = "page_objective:objective"
trials = {trials}
[args]
folder = "."
[space]
lr = {{ type = "float", low = 1e-4, high = 1e-1, log = true }}
optimizer = {{ type = "categorical", choices = ["adam", "sgd"] }}
[pruner]
name = "median"
n_startup_trials = 4
"""

ORDER = (
    *(
        "validate",
        "init",
        "prepare",
        "ls",
        "status",
        "trials",
        "why",
        "logs",
        "replay",
        "tune-rule",
        "report",
        "export",
        "compare",
        "best",
        "models",
        "code",
        "workers",
        "doctor",
    ),
    *("pause", "resume", "enqueue", "retry", "stop", "watch"),
    *("serve", "worker", "beat", "flower", "dashboard"),
    "run",
    *("submit", "schedule"),
    "delete",
)
"""The looking ones first, then what they could not look at any more; `watch` comes back when the study has ended. Last
what gives the fleet something to do for long."""

UP = {
    "serve": "standing by",
    "worker": " ready.",
    "beat": "schedule digits-nightly of",
    "flower": "http://127.0.0.1",
    "dashboard": "http://127.0.0.1",
}
"""What those that stay say when they are at work."""

PAGES_OF_OURS = ("flower", "dashboard")
"""Those that listen wherever nothing is said; here they are given a port of their own."""

FEW = ["--trials", "1"]
"""A search of a page would take its time; one trial shows that it runs, and `make demo` is run whole."""


BLOCKS = [block for block in all_blocks() if not block.needs and block.runner in ("", "test_page_commands")]


WORD_FOR_WORD = ("validate", "init", "pause", "resume", "enqueue", "stop", "submit")
"""Those that print what the page says but for numbers."""
WORDS_ALONE = re.compile(r"[A-Za-z][A-Za-z/ ]+")
"""A line of a page's output without any figure, such as a table's head: each of its words has to be printed."""


def lines() -> dict[tuple[str, ...], Block]:
    """Returns the command lines, each once, with the block where it stands first."""
    found: dict[tuple[str, ...], Block] = {}
    for block in BLOCKS:
        for words in commands(block):
            if program(words) == "orchestrator":
                found.setdefault(tuple(words[1:]), block)
    return dict(sorted(found.items(), key=lambda item: ORDER.index(item[0][0])))


LINES = lines()
PIPELINES = {line: block.where for block in BLOCKS for line in command_lines(block) if " | " in line}


def of(*kinds: str) -> dict[str, tuple[str, ...]]:
    """Returns the command lines of some commands, by what a failure calls them."""
    return {f"{shlex.join(words)} ({block.where})": words for words, block in LINES.items() if words[0] in kinds}


@dataclass
class Town:
    """Where a reader lives: a folder with the files of the pages, and a fleet that trains the study ``digits``."""

    folder: Path
    fleet: Fleet

    def environment(self) -> dict[str, str]:
        return self.fleet.environment() | {"ORCHESTRATOR_OBJECTIVE_PATH": f"{self.folder}{os.pathsep}{HERE}"}

    def state(self, study: str) -> str:
        found: dict[str, str] = json.loads(self.fleet.call("status", study, "--json").stdout)
        return found["state"]

    def of_a_clean_shell(self) -> dict[str, str]:
        """The environment of a user who has no fleet and has set nothing."""
        mine = {name: value for name, value in self.environment().items() if not name.startswith("ORCHESTRATOR_")}
        return mine | {"PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}"}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    folder = tmp_path / "town"
    folder.mkdir()
    shutil.copytree(ROOT / "studies", folder / "studies")
    for block in all_blocks():
        if block.file:
            (folder / block.file).write_text(block.text)
    (folder / "mine.toml").write_text(SEARCH.format(name="mine", trials=4))
    shutil.copy(page_objective.__file__, folder)
    with contextmanager(embedded_servers)(folder) as servers, fleet(servers, folder) as it:
        made = Town(folder, it)
        train_without_us("mine", servers)
        it.start("serve")
        admits = {"ORCHESTRATOR_OBJECTIVES": "*,bundle:*"}
        it.start("worker", "--slots", "2", environment=made.environment() | admits)
        sent = '[code]\ninclude = ["page_objective.py"]\n'
        it.submit(it.write_spec(SEARCH.format(name="digits", trials=1_000) + sent, "digits.toml"))
        for notice in notices(servers.client(), "digits"):
            if isinstance(notice, Progress) and notice.complete + notice.pruned + notice.failed >= page_objective.QUICK:
                break
        yield made


def train_without_us(name: str, servers: Servers) -> None:
    """Makes a study as a reader has one who comes from ``study.optimize``."""
    storage = RDBStorage(servers.storage_url)
    optuna.create_study(study_name=name, storage=storage).optimize(reports_once, n_trials=2)
    storage.remove_session()
    storage.engine.dispose()


def reports_once(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_categorical("optimizer", ["adam", "sgd"])
    trial.report(lr, 1)
    return lr


def test_every_kind_of_command_is_run() -> None:
    assert {words[0] for words in LINES} == set(ORDER)


@pytest.mark.timeout(3600)
def test_every_line_does_what_it_says(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """One reader types one line after the other: what a line leaves behind, later ones find."""
    environment = clean_shell.environment(tmp_path / "bin")
    for name, words in of(*ORDER[: ORDER.index("serve")]).items():
        with subtests.test(name), monkeypatch.context() as patch:
            call(words, town, patch)
    for line, where in PIPELINES.items():
        with subtests.test(f"{line} ({where})"):
            hand_on(line, town, tmp_path / "bin", environment["PATH"])
    for name, words in of(*UP).items():
        with subtests.test(name):
            stay_until_told_to_end(words, town, tmp_path, environment)
    for name, words in of("run").items():
        with subtests.test(name):
            search(words, town)
    for name, words in of("submit", "schedule", "delete").items():
        with subtests.test(name), monkeypatch.context() as patch:
            call(words, town, patch)


def call(words: tuple[str, ...], town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a command that looks, steers, or begins a search elsewhere."""
    # As `init` says: where the spec is.
    away = words[-1].endswith(".toml") and not (town.folder / words[-1]).exists()
    folder = town.folder / "mine" if away else town.folder
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    environment: dict[str, str | None] = {**town.environment()}
    if words[0] == "validate":
        # The fleet's study of that name is another search.
        environment |= dict.fromkeys(name for name in environment if name.startswith("ORCHESTRATOR_"))
    if away:
        environment["ORCHESTRATOR_OBJECTIVE_PATH"] = str(folder)
    if words[0] == "delete":
        wait_for(lambda: town.state(words[1]) == "finished", f"the end of {words[1]}")
    # The folder that `init` makes in the pages is called as a study is that is there.
    own = ["--name", "starter"] if away else []
    done = CliRunner().invoke(cli, [*words, *own], env=environment, standalone_mode=False)
    assert done.exception is None, f"{done.output}\n{done.exception}"
    assert done.exit_code == 0, done.output
    compare(outputs(LINES[words]).get(shlex.join(["orchestrator", *words]), []), done.output, words[0])


def compare(shown: list[str], printed: str, kind: str) -> None:
    """Compares what a page shows with what a command prints on another study: the same words, other figures."""
    if kind in WORD_FOR_WORD and shown:
        assert [masked(line) for line in shown] == [masked(line) for line in printed.splitlines()]
    # On a terminal columns are left out, and it is said.
    shown = list(itertools.takewhile(lambda line: not line.startswith("no room for"), shown))
    heads = [line.split() for line in shown if WORDS_ALONE.fullmatch(line)]
    # The page's examples are of studies/digits.toml, which has a parameter more.
    assert {word for words in heads for word in words} - {"width"} <= set(printed.split()), printed


def masked(line: str) -> str:
    return re.sub(r"\d+", "0", line)


def hand_on(line: str, town: Town, programs: Path, path: str) -> None:
    """Runs a line that hands on to another program what a command of ours says."""
    require(*sorted({program(words) for words in simple_commands(line)}), folder=programs)
    done = run_script(f"set -o pipefail\n{line}", town.folder, town.environment() | {"PATH": path}, "bash")
    assert done.returncode == 0, done.stderr


def stay_until_told_to_end(words: tuple[str, ...], town: Town, folder: Path, environment: dict[str, str]) -> None:
    """Starts a command that stays, types what the page says beside it, and ends it."""
    port, here, shown = free_port(), list(words), ""
    for option in ("--port", "--metrics-port"):
        if option in words:
            shown = words[words.index(option) + 1]
            here[words.index(option) + 1] = str(port)
    if words[0] in PAGES_OF_OURS and "--port" not in words:
        here[1:1] = ["--port", str(port)]
    process = town.fleet.start(*here, environment=town.environment())

    def up() -> bool:
        heard = here == list(words) or listens(port)
        return (heard and UP[words[0]] in process.log.read_text()) or process.popen.poll() is not None

    wait_for(up, shlex.join(words))
    assert process.popen.poll() is None, process.log.read_text()
    for other in commands(LINES[words]):
        # What is to be typed beside it.
        if program(other) != "orchestrator" and shown and f":{shown}/" in other[-1]:
            asked = [word.replace(f":{shown}/", f":{port}/") for word in other]
            done = run_script(shlex.join(asked), folder, environment)
            assert done.returncode == 0, done.stderr
            assert done.stdout
    assert process.stop() == 0, process.log.read_text()


def search(words: tuple[str, ...], town: Town) -> None:
    """Runs a search of one trial, as a user who has no fleet."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words, *FEW],
        env=town.of_a_clean_shell(),
        # As `init` says: where the spec is.
        cwd=town.folder if (town.folder / words[1]).exists() else town.folder / "mine",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b1 of 1\b|1/1", done.stdout + done.stderr), done.stdout
