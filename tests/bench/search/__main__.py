"""``python -m tests.bench.search [--quick]``: compares the rules on recorded curves, and writes ``docs/search.md``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.search import page
from tests.bench.search.contenders import ALL, OPTUNAS, RULES, make
from tests.bench.search.loop import Outcome, Setting, search
from tests.bench.search.tables import CURVES, FAMILIES, Table, read_all

OUTPUT = Path(__file__).parents[3] / "docs" / "search.md"
MARKS = (100, 200, 400, 800, 1600, 3200)
PLAIN = (Setting(4), Setting(16), Setting(64), Setting(1))
HARDER = {"noise": Setting(4, noise=0.1), "resume": Setting(4, resume=1)}
"""Settings that make it harder; not all rules are run in them."""

_IN_HARDER = ("median (2, 5, 3)", "asha, promotion", "index, stopping", "index")

Found = dict[tuple[str, Setting], dict[str, list[Outcome]]]
"""Outcomes of all orders, by rule and setting, then by table."""


def main() -> int:
    """Compares, and writes."""
    options = _parse()
    tables = read_all(options.curves)
    missing = sorted(set(FAMILIES) - {table.family for table in tables})
    if missing:
        names = ", ".join(FAMILIES[each] for each in missing)
        print(f"no curves of {names} in {options.curves}: left out", file=sys.stderr)
    if not tables:
        return 2
    if options.quick:
        tables = tables[:: max(1, len(tables) // 2)][:2]
    seeds = range(1 if options.quick else options.seeds)
    found = compare(tables, seeds, quick=options.quick)
    text = page.write(tables, found, MARKS, len(seeds), missing)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text)
    page.draw(tables, found, MARKS, options.output.with_suffix(".png"))
    print(f"written to {options.output}", file=sys.stderr)
    return 0


def compare(tables: Sequence[Table], seeds: Sequence[int], *, quick: bool = False) -> Found:
    """Returns the outcomes of all seeds, by table, for each rule in each setting."""
    jobs = [(label, setting) for setting in PLAIN[: 1 if quick else None] for label in (*RULES, ALL)]
    if not quick:
        jobs += [(label, setting) for setting in HARDER.values() for label in _IN_HARDER]
    # Optuna's own pruners look at the whole study at each report: on the smallest table alone.
    smallest = min(tables, key=lambda table: table.curves.size)
    found: Found = {}
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        runs = {
            (job, table.name): pool.submit(_run, table, *job, seeds)
            for job in [*jobs, *((label, PLAIN[0]) for label in OPTUNAS)]
            for table in (tables if job[0] not in OPTUNAS else [smallest])
        }
        for place, ((job, name), run) in enumerate(runs.items(), 1):
            found.setdefault(job, {})[name] = run.result()
            print(f"\r{place} of {len(runs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _run(table: Table, label: str, setting: Setting, seeds: Sequence[int]) -> list[Outcome]:
    return [search(table, make(label, table), setting, seed, MARKS) for seed in seeds]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description="Compares pruning rules.")
    parser.add_argument("--curves", type=Path, default=CURVES, help="folder of recorded curves [default: %(default)s]")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="orders of the configurations [default: 2]")
    parser.add_argument("--quick", action="store_true", help="two tables, one order: does it run, not what comes of it")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the page goes [default: docs/search.md]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
