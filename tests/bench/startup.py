"""How long a person waits: for the help text, and for the first epoch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.bench.figures import Row, Section, quantile, timing
from tests.bench.servers import environment, say

SPEC = """
name = "first"
objective = "{objective}"
direction = "maximize"
trials = 1
[args]
folder = "{folder}"
{more}
"""


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
    imports, trivial, digits, started = [], [], [], []
    for turn in range(runs):
        say(f"orchestrator run to its first epoch, {turn + 1} of {runs}")
        imports.append(_lasts([sys.executable, "-c", "import torch"]))
        trivial.append(_run(folder / f"trivial-{turn}", "tests.bench.objectives:first_report", "")[0])
        first, begun = _run(folder / f"digits-{turn}", "tests.bench.objectives_digits:first_report", "epochs = 1")
        digits.append(first)
        started.append(begun)
    beside = [each - quantile(imports, 0.5) for each in digits]
    rows: list[Row] = [
        timing("run to first epoch, objective without torch", trivial, where="embedded, SQLite"),
        timing("run to first epoch, tasks.objectives.digits", digits, where="embedded, SQLite"),
        timing(
            "the same, to the trial's recorded start",
            started,
            where="embedded, SQLite",
            note="attempts.started",
        ),
        timing("import torch in a fresh process", imports),
        timing("run to first epoch of digits, less that import", beside, note="aim: under 3 s"),
    ]
    how = (
        "From just before `orchestrator run` is started, with an empty data folder and servers of its own, to the wall "
        "clock that the objective writes down when its first report has returned. Files are in the page cache."
    )
    return Section("Start", how, tuple(rows))


def _run(folder: Path, objective: str, more: str) -> tuple[float, float]:
    """Returns seconds to the first report, and to the start of the trial as the database has it."""
    folder.mkdir()
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(objective=objective, folder=folder, more=more))
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(spec), "--slots", "1"],
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
    first = float((folder / "first_report").read_text())
    engine = create_engine(f"sqlite:///{folder / 'data' / 'studies.db'}")
    with engine.connect() as connection:
        started = connection.scalar(text("SELECT MIN(started) FROM orchestrator_attempts"))
    engine.dispose()
    return first - begun, float(started or 0.0) - begun


def _lasts(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun
