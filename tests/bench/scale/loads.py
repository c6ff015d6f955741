"""The loads: what is asked of the control plane, for how long, and what is read off it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import duration, number, quantile
from tests.bench.scale import stored
from tests.bench.scale.stand import Measured, Slots, Stand, slots, stand
from tests.bench.servers import say


@dataclass(frozen=True)
class Line:
    """A row of the page. ``before`` was measured before sampling left the loop; ``goal`` is what was aimed at."""

    what: str
    before: str
    goal: str
    measured: str
    note: str = ""


@dataclass(frozen=True)
class Size:
    """How much of everything: the whole measurement, or a small form that shows that it works."""

    slots: int
    seconds: float
    ramp: float
    trials: int
    studies: int
    quick: bool = False


WHOLE = Size(slots=1000, seconds=20.0, ramp=15.0, trials=10_000, studies=100)
SMALL = Size(slots=20, seconds=2.0, ramp=1.0, trials=60, studies=5, quick=True)

Load = Callable[[Path, Size], Iterator[Line]]


@contextmanager
def _serving(folder: Path) -> Iterator[Stand]:
    with stand(folder) as it:
        it.start()
        yield it


def _measure(fleet: Slots, seconds: float) -> Measured:
    fleet.take()
    time.sleep(seconds)
    return fleet.take()


def beside(folder: Path, size: Size) -> Iterator[Line]:
    """Prune latency of one study, alone and beside others that sample."""
    few = 8
    with _serving(folder) as it, slots(it, "a", few) as fleet, slots(it, "b", few):
        it.submit("a", 1_000_000, seconds=0.2, queue="a")
        time.sleep(size.ramp / 3)
        seconds = size.seconds * 0.6
        yield Line(
            "prune latency of study A (report published to verdict read), alone: p50 / p99",
            "5.0 / 27 ms",
            "5 / 25 ms",
            _quantiles(_measure(fleet, seconds).prunes),
            f"{few} slots, epochs of 0.2 s",
        )
        others: list[tuple[str, int, str]] = [
            ("gp", 100, "p50 11 000 ms"),
            ("gp", 1_000, "p50 4 200 ms"),
            ("tpe", 5_000, "16 / 203 ms"),
        ]
        for sampler, finished, before in others:
            say(f"beside {sampler} with {finished} finished trials")
            name = f"b-{sampler}-{finished}"
            there = finished // 50 if size.quick else finished
            spec_more = {"sampler": {"name": sampler}, "queue": "b", "seconds": 0.2}
            study = stored.filled(it, name, there, 1_000_000, **spec_more)
            it.take_up(study)
            time.sleep(1.0)
            measured = _measure(fleet, seconds)
            yield Line(
                f"the same while study B samples by `{sampler}`, {finished} finished trials, 8 slots: p50 / p99",
                before,
                "as alone, within 20 %",
                _quantiles(measured.prunes),
            )
            it.stop(study.name)


def steady(sampler: str) -> Load:
    """A thousand slots with epochs of 5 s."""

    def load(folder: Path, size: Size) -> Iterator[Line]:
        before = {
            "random": ("18 / 54 ms", "64 / 2 070 ms", "46"),
            "tpe": ("97 / 146 ms", "10 200 / 115 000 ms", "15"),
        }[sampler]
        with _serving(folder) as it, slots(it, "trials", size.slots) as fleet:
            more = {"sampler": {"name": sampler}} if sampler != "random" else {}
            study = it.submit("steady", 1_000_000, seconds=0.5 if size.quick else 5.0, **more)
            _ramp(fleet, size)
            cpu = it.cpu()
            measured = _measure(fleet, size.seconds * 1.5)
            cpu = (it.cpu() - cpu) / measured.seconds
            what = f"{size.slots} slots, epochs of 5 s, median rule, `{sampler}`"
            note = f"{measured.busy} slots busy at the end; the control plane takes {100 * cpu:.0f} % of a core"
            yield Line(f"{what}: prune p50 / p99", before[0], "8 / 40 ms", _quantiles(measured.prunes), note)
            goal = "5 / 100 ms" if sampler == "random" else "5 / 100 ms while one core of sampling keeps up"
            yield Line(f"{what}: refill p50 / p99", before[1], goal, _quantiles(measured.refills))
            started = sum(measured.starts.values()) / measured.seconds
            yield Line(f"{what}: starts a second", before[2], "150 where asked for", number(started))
            if sampler == "random":
                yield _notices(it, study, size)

    return load


def _notices(it: Stand, study: str, size: Size) -> Line:
    entries, taken = it.notices(study)
    mean = taken / max(1, entries)
    return Line(
        f"{size.slots} slots: memory of the notices stream in Redis",
        "63 to 70 MB",
        "5 MB",
        f"{taken / 1e6:.1f} MB",
        f"{entries} entries of {mean:.0f} bytes on average",
    )


def flood(folder: Path, size: Size) -> Iterator[Line]:
    """All slots report as fast as the control plane confirms."""
    with _serving(folder) as it, slots(it, "trials", size.slots) as fleet:
        it.submit("flood", 1_000_000, epochs=1_000, seconds=0.0, lookahead=min(1000, size.slots))
        _ramp(fleet, size)
        cpu, epochs, began = it.cpu(), it.epochs(), time.monotonic()
        measured = _measure(fleet, size.seconds)
        seconds = time.monotonic() - began
        recorded, cpu = it.epochs() - epochs, it.cpu() - cpu
        entries = measured.counts.get("entries", 0)
        yield Line(
            f"{size.slots} slots reporting as fast as they can: useful epochs recorded a second",
            "4 390 (of 9 700 entries)",
            "30 000",
            f"{number(recorded / seconds)} (of {number(entries / measured.seconds)} entries)",
            f"{1e6 * cpu / max(1, recorded):.0f} µs of the control plane's CPU each, "
            f"which takes {100 * cpu / seconds:.0f} % of a core",
        )


def long_study(sampler: str) -> Load:
    """One study of many short trials, as fast as it goes."""

    def load(folder: Path, size: Size) -> Iterator[Line]:
        before, goal = ("74", "200") if sampler == "random" else ("23 (falling)", "bounded by the sampler's arithmetic")
        limit = size.seconds * 3
        with _serving(folder) as it, slots(it, "trials", 32) as fleet:
            sampled = {"sampler": {"name": sampler}} if sampler != "random" else {}
            pruner = {"name": "none"}
            study = it.submit("long", size.trials, epochs=20, seconds=0.001, pruner=pruner, **sampled)
            began, cpu = time.monotonic(), it.cpu()
            last = [(0.0, 0)]
            while (ended := it.ended(study)) < size.trials and time.monotonic() - began < limit:
                it.check()
                last.append((time.monotonic() - began, ended))
                time.sleep(size.seconds / 10)
            seconds, cpu = time.monotonic() - began, it.cpu() - cpu
            fleet.take()
            third = next(((at, count) for at, count in last if count >= ended * 2 / 3), (0.0, 0))
            at_the_end = (ended - third[1]) / max(1e-9, seconds - third[0])
            yield Line(
                f"one study of {size.trials} trials of 20 epochs, `{sampler}`: trials a second",
                before,
                goal,
                number(ended / seconds),
                f"{ended} trials in {duration(seconds)}, the last third at {number(at_the_end)} a second; "
                f"{1e3 * cpu / max(1, ended):.1f} ms of CPU each",
            )

    return load


def idle_studies(folder: Path, size: Size) -> Iterator[Line]:
    """Many studies at once: the share of each, and what those cost for which nothing happens."""
    with _serving(folder) as it, slots(it, "trials", 2 * size.studies) as fleet:
        names = [it.submit("many", 1_000_000, seconds=0.5) for _ in range(size.studies)]
        time.sleep(size.ramp)
        cpu = it.cpu()
        measured = _measure(fleet, size.seconds)
        cpu = it.cpu() - cpu
        shares = sorted(measured.starts.get(name, 0) for name in names)
        yield Line(
            f"{size.studies} studies on {2 * size.studies} slots: starts of the largest to the smallest",
            "not measured",
            "at most 1.5",
            f"{shares[-1] / max(1, shares[0]):.2f}",
            f"{number(sum(shares) / measured.seconds)} starts a second, "
            f"{1e3 * cpu / max(1, sum(shares)):.1f} ms of CPU each; prune p50 / p99 {_quantiles(measured.prunes)}",
        )
        for name in names:
            it.command("pause", name)
        time.sleep(size.ramp)
        cpu, began = it.cpu(), time.monotonic()
        time.sleep(size.seconds / 2)
        share = (it.cpu() - cpu) / (time.monotonic() - began)
        beats = size.studies
        yield Line(
            f"{size.studies} paused studies: the control plane's CPU",
            "not measured",
            "they do not slow the loop",
            f"{100 * share:.1f} % of a core",
            f"{beats} heartbeats a second of idle slots come in meanwhile",
        )


def take_over(folder: Path, size: Size) -> Iterator[Line]:
    """A control plane starts on the database of another one with many studies."""
    each = 20 if size.quick else 1000
    with stand(folder) as it:
        say(f"filling {size.studies} studies of {each} trials")
        for index in range(size.studies):
            stored.filled(it, f"over-{index}", each, 1_000_000, seconds=0.05)
        with slots(it, "trials", 8) as fleet:
            began = time.monotonic()
            it.start()
            it.wait(lambda: it.number("SELECT count(*) FROM orchestrator_decisions") > 0, "a decision", 300)
            seconds = time.monotonic() - began
            fleet.take()
        yield Line(
            f"a control plane taking over {size.studies} studies × {each} trials: start to first decision",
            "loads everything first",
            "5 s",
            duration(seconds),
            "with the start of Python, and the first trial's epochs",
        )


def _ramp(fleet: Slots, size: Size) -> None:
    """Waits until all slots are busy; on a machine that is busy otherwise, for four ramps at most."""
    began = time.monotonic()
    while time.monotonic() - began < 4 * size.ramp:
        time.sleep(size.ramp / 15)
        if fleet.take().busy >= fleet.slots:
            time.sleep(min(size.ramp, 5.0))
            return


def _quantiles(seconds: list[float]) -> str:
    if not seconds:
        return "none came"
    middle, worst = (1e3 * quantile(seconds, share) for share in (0.5, 0.99))
    return f"{number(middle)} / {number(worst)} ms ({len(seconds)})"


LOADS: Mapping[str, Any] = {
    "beside": beside,
    "random": steady("random"),
    "tpe": steady("tpe"),
    "flood": flood,
    "long-random": long_study("random"),
    "long-tpe": long_study("tpe"),
    "many": idle_studies,
    "take-over": take_over,
}
