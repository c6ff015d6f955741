"""What happens on a running fleet: cost of a report, gap between trials, latency of a prune."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna

from tests.bench import steps
from tests.bench.figures import Row, Section, rate, skipped, timing
from tests.bench.fleet import Fleet, fleet
from tests.bench.servers import Place, say

GAP = "keeper's clock: the last word of one trial to handing the next job to the trainer (attempts.gap)"


def measure(place: Place, folder: Path, quick: bool, wanted: set[str]) -> list[Section]:
    """Returns the figures of those that are wanted, of ``report``, ``gap``, ``prune`` and ``steps``."""
    report: list[Row] = []
    gap: list[Row] = []
    prune: list[Row] = []
    cores = len(os.sched_getaffinity(0))
    scale = 4 if quick else 1
    if wanted & {"report", "gap", "prune"}:
        say(f"{place.name}: a fleet of one slot")
        with fleet(place, folder, 1) as one:
            if "report" in wanted:
                report = _report(one, scale)
            if "gap" in wanted:
                gap += _gap(one, scale)
            if "prune" in wanted:
                prune += _prune(one, 80 // scale, burn=False)
                prune += _prune(one, 24 // scale, burn=False, heavy=True)
    if wanted & {"gap", "prune"}:
        say(f"{place.name}: a fleet of {max(4, cores)} slots")
        with fleet(place, folder, max(4, cores)) as many:
            if "gap" in wanted:
                gap += _gap(many, scale)
            if "prune" in wanted:
                prune += _prune(many, 60 // scale, burn=True)
    sections = []
    if report:
        how = "An objective on a worker times each of its own calls; the keeper on the other side is the real one."
        sections.append(Section("Cost of report to the training loop", how, tuple(report)))
    if gap:
        how = f"Short trials in a row, random sampler; {GAP}."
        sections.append(Section("Gap of a slot between two trials", how, tuple(gap)))
    if prune:
        how = (
            "Each trial reports a lost value in mid-epoch and goes on with its epoch until it is stopped. First two "
            "lines: the keeper's clock, as it is recorded with the attempt; the others: the objective's own clock when "
            "the exception reaches it, against its report, and against the time at which the control plane decided "
            "(before it committed)."
        )
        sections.append(Section("Latency of a prune", how, tuple(prune)))
    if "steps" in wanted:
        sections.append(_steps(place, folder, 60 // scale))
    return sections


def _report(one: Fleet, scale: int) -> list[Row]:
    rows = []
    for words, reports, pause in (
        ("back to back", 20_000 // scale, 0.0),
        ("every 2 ms", 1_000 // scale, 0.002),
    ):
        say(f"  {reports} reports, {words}")
        begun = time.monotonic()
        name = one.train("talkative", 1, {"folder": str(one.folder), "reports": reports, "pause": pause})
        lasted = time.monotonic() - begun
        note = json.loads((one.folder / f"talkative-{name}.json").read_text())
        where = one.place.name
        rows.append(timing(f"trial.report, {words}", [each / 1e9 for each in note["costs"]], where=where))
        if not pause:
            whole = note["whole"] / reports / 1e9
            rows.append(timing("the same, mean with the loop around it", [whole], where=where))
            rows.append(
                rate(
                    "reports until all are in the database",
                    [(reports, lasted)],
                    "/s",
                    where=where,
                    note="end to end",
                )
            )
            rows.append(timing("bare loop that calls nothing", [each / 1e9 for each in note["bare"]]))
    rows.append(_optuna(one.folder, 400 // scale))
    return rows


def _optuna(folder: Path, count: int) -> Row:
    say("  Optuna's own report and should_prune on SQLite")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=f"sqlite:///{folder / 'optuna.db'}", pruner=optuna.pruners.MedianPruner())
    costs = []
    trial = study.ask()
    for step in range(count):
        before = time.perf_counter()
        trial.report(0.5, step)
        trial.should_prune()
        costs.append(time.perf_counter() - before)
    return timing("Optuna's report + should_prune, SQLite", costs, note="in one process, no other trial in the study")


def _gap(it: Fleet, scale: int) -> list[Row]:
    rows = []
    for seconds, trials in ((0.0, 200 // scale), (0.1, 60 // scale)):
        say(f"  {trials} trials of {seconds} s on {it.slots} slot(s)")
        name = it.train("short", trials, {"seconds": seconds})
        gaps = [row["gap"] for row in it.attempts(name)[it.slots :] if row["gap"] is not None]
        words = "trials that end at once" if not seconds else f"trials of {seconds:g} s"
        rows.append(timing(f"{it.slots} slot{'s' * (it.slots > 1)}, {words}", gaps, where=it.place.name))
    return rows


def condemn(it: Fleet, trials: int, *, burn: bool, heavy: bool = False) -> tuple[str, list[dict[str, Any]]]:
    """Runs a study whose trials are all pruned but the first; returns its name and what the pruned ones noted."""
    say(f"  {trials} prunes, {'all cores busy' if burn else 'machine idle'}")
    pruner = {"name": "median", "n_startup_trials": 1}
    arguments = {"folder": str(it.folder), "settle": 0.1 if burn else 0.05, "burn": burn, "heavy": heavy}
    name = it.train("condemned", trials + 1, arguments, pruner=pruner)
    notes = [json.loads(path.read_text()) for path in it.folder.glob(f"{name}-*.json")]
    return name, sorted(notes, key=lambda note: int(note["number"]))


def _prune(it: Fleet, trials: int, *, burn: bool, heavy: bool = False) -> list[Row]:
    name, notes = condemn(it, trials, burn=burn, heavy=heavy)
    rows = [row for row in it.attempts(name) if row["verdict"] == "pruned"]
    decided = it.decisions(name)
    words = f"{it.slots} trainers burning CPU" if burn else f"idle machine{', torch loaded' * heavy}"
    where = it.place.name
    if heavy != all(note["torch"] for note in notes):
        return [skipped(words, "torch was not where it should be: the figures would say something else", where=where)]
    told = [note for note in notes if "left" in note and "report" in note]
    after_decision = [note["left_wall"] - decided[note["number"]] for note in told if note["number"] in decided]
    heard = [row["latency"] for row in rows if row["latency"] is not None]
    gaps = [row["gap"] for row in rows[it.slots :] if row["gap"] is not None]
    rung = [row["signal_latency"] for row in rows if row["signal_latency"] is not None]
    unrung = f"{len(rows) - len(rung)} of {len(rows)} left before a signal came"
    follow = [
        after["began"] - before["left"]
        for slot in sorted({note["pid"] for note in told})
        for before, after in pairwise(note for note in told if note["pid"] == slot)
    ]
    return [
        timing(f"{words}: report heard to left", heard, where=where, note="attempts.latency"),
        timing(f"{words}: doorbell to left", rung, where=where, note=f"attempts.signal_latency; {unrung}"),
        timing(f"{words}: report to exception", [note["left"] - note["report"] for note in told], where=where),
        timing(f"{words}: decision to exception", after_decision, where=where, note="from before the commit"),
        timing(f"{words}: gap of the slot after it", gaps, where=where, note="attempts.gap of the next"),
        timing(f"{words}: exception to next objective", follow, where=where, note="what the slot loses"),
    ]


def _steps(place: Place, folder: Path, trials: int) -> Section:
    say(f"{place.name}: a traced fleet of one slot")
    trace = folder / "trace"
    with fleet(place, folder, 1, trace) as traced:
        _, notes = condemn(traced, trials, burn=False)
    how = (
        f"One slot, {place.name}, idle machine, {trials} prunes; methods wrapped with stamps of one clock, which adds "
        "a little to each step. Times since the report; processes overlap, so a step may come before the one above."
    )
    found = steps.rows(trace, [note for note in notes if "left" in note and "report" in note])
    return Section(f"From a report to the next trial, step by step ({place.name})", how, tuple(found))
