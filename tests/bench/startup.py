"""How long a person waits: for the help text, and for the first epoch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import create_engine, text

from tests.bench.figures import Row, Section, quantile, timing
from tests.bench.servers import environment, say

WHERE = "embedded, SQLite"
WORDS = {1: "objective", 4: "four slots, objective"}

SPEC = """
name = "first"
objective = "{objective}"
direction = "maximize"
trials = 1
[args]
folder = "{folder}"
{more}
"""


class Ran(NamedTuple):
    """Seconds from the call to the first report, to the recorded start of the first trial, and from the recorded end of
    the last one to the prompt."""

    first: float
    started: float
    prompt: float


def measure_help(runs: int) -> Section:
    """Returns the time of ``orchestrator --help`` beside that of an interpreter that does nothing."""
    say("orchestrator --help")
    program = Path(sys.executable).with_name("orchestrator")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "orchestrator"]
    ours, bare = [], []
    for _ in range(runs):
        ours.append(_lasts([*command, "--help"]))
        bare.append(_lasts([sys.executable, "-c", "pass"]))
    rows = (timing("orchestrator --help", ours), timing("python -c pass", bare))
    return Section("Help", "Wall time of the process, taken by turns.", rows)


def measure_first_epoch(folder: Path, runs: int) -> Section:
    """Returns the time from the start of ``orchestrator run`` to the first epoch."""
    imports, digits, started = [], [], []
    trivial: dict[int, list[Ran]] = {1: [], 4: []}
    for turn in range(runs):
        say(f"orchestrator run to its first epoch, {turn + 1} of {runs}")
        imports.append(_lasts([sys.executable, "-c", "import torch"]))
        for slots, ran in trivial.items():
            ran.append(_run(folder / f"trivial-{slots}-{turn}", "tests.bench.objectives:first_report", "", slots))
        with_torch = _run(folder / f"digits-{turn}", "tests.bench.objectives_digits:first_report", "epochs = 1")
        digits.append(with_torch.first)
        started.append(with_torch.started)
    beside = [each - quantile(imports, 0.5) for each in digits]
    rows: list[Row] = [
        *(
            timing(f"run to first epoch, {words} without torch", [each.first for each in trivial[slots]], where=WHERE)
            for slots, words in WORDS.items()
        ),
        *(
            timing(f"last attempt's end to the prompt, {words}", [each.prompt for each in trivial[slots]], where=WHERE)
            for slots, words in WORDS.items()
        ),
        timing("run to first epoch, tasks.objectives.digits", digits, where=WHERE),
        timing(
            "the same, to the trial's recorded start",
            started,
            where=WHERE,
            note="attempts.started",
        ),
        timing("import torch in a fresh process", imports),
        timing("run to first epoch of digits, less that import", beside, note="aim: under 3 s"),
    ]
    how = (
        "From just before `orchestrator run` is started, with an empty data folder and servers of its own, to the wall "
        "clock that the objective writes down when its first report has returned. The prompt: from the recorded end of "
        "the last attempt to the end of `orchestrator run`. Files are in the page cache."
    )
    return Section("Start", how, tuple(rows))


def _run(folder: Path, objective: str, more: str, slots: int = 1) -> Ran:
    """Runs a search of one trial."""
    folder.mkdir()
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(objective=objective, folder=folder, more=more))
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(spec), "--slots", str(slots)],
        env=environment(None, folder),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"orchestrator run ended with {done.returncode}: {done.stderr[-500:]}")
    ended = time.time()
    first = float((folder / "first_report").read_text())
    engine = create_engine(f"sqlite:///{folder / 'data' / 'studies.db'}")
    with engine.connect() as connection:
        query = "SELECT MIN(started), MAX(ended) FROM orchestrator_attempts"
        first_start, last_end = connection.execute(text(query)).one()
    engine.dispose()
    return Ran(first - begun, first_start - begun, ended - last_end)


def _lasts(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun
