"""``python -m tests.bench [--quick] [--only NAME,…]``: measures, prints, and writes ``docs/bench.md``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import control, latency, machine, rules, startup
from tests.bench.figures import Section, skipped, table
from tests.bench.page import WIDTH, write
from tests.bench.servers import Place, Unusable, configured, embedded, say

NAMES = ("help", "start", "report", "gap", "prune", "steps", "control", "engine", "rules")
ON_SERVERS = frozenset({"report", "gap", "prune", "steps", "control"})
OUTPUT = Path(__file__).parents[2] / "docs" / "bench.md"


def main() -> int:
    """Measures what is wanted."""
    options = _parse()
    wanted = set(options.only.split(",")) if options.only else set(NAMES)
    if unknown := wanted - set(NAMES):
        print(f"--only: {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    sections: list[Section] = []
    servers: list[str] = []
    lines = [] if options.only and options.output == OUTPUT else [options.output]
    about: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as temporary,
        ExitStack() as stack,
    ):
        folder = Path(temporary)
        if wanted & ON_SERVERS:
            places, trouble = _places(folder, stack)
            servers = [place.name for place in places]
        about = machine.describe(servers or ["none"])
        if "help" in wanted:
            sections.append(startup.measure_help(3 if options.quick else 10))
        if "start" in wanted:
            sections.append(startup.measure_first_epoch(folder, 1 if options.quick else 3))
        if wanted & ON_SERVERS:
            for place in places:
                sections += latency.measure(place, folder, options.quick, wanted)
                if "control" in wanted:
                    sections.append(control.measure(place, options.quick))
            sections.append(trouble)
        if "engine" in wanted:
            sections.append(control.measure_engine(options.quick))
        if "rules" in wanted:
            sections.append(rules.measure(options.quick))
    page = _page(_merged(sections), about, time.monotonic() - begun, options.quick)
    print(page)
    for path in lines:
        write(path, page, "make bench")
    if not lines:
        say("docs/bench.md is left as it is: it takes a whole run, or --output")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures with real processes.")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"only these figures: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: does it run, not how fast is it")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the page goes [default: docs/bench.md]")
    return parser.parse_args()


def _places(folder: Path, stack: ExitStack) -> tuple[list[Place], Section]:
    """Returns what to measure on, and what is not measured on, as a section."""
    home = folder / "embedded"
    home.mkdir()
    places = [stack.enter_context(embedded(home))]
    why = "ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL are not set"
    other = folder / "configured"
    other.mkdir()
    try:
        place = stack.enter_context(configured(other))
    except Unusable as error:
        place, why = None, str(error)
    if place is not None:
        return [*places, place], Section("", "", ())
    return places, Section("Other servers", "", (skipped("Redis and PostgreSQL", why),))


def _merged(sections: list[Section]) -> list[Section]:
    """Puts rows of the same figure on other servers beside each other."""
    merged: dict[str, Section] = {}
    for section in sections:
        before = merged.get(section.title)
        same = section.title and before is not None and before.how == section.how
        if before is not None and same:
            merged[section.title] = Section(section.title, section.how, before.rows + section.rows)
        elif section.rows:
            title = section.title if before is None else f"{section.title} ({section.rows[0].where or 'other servers'})"
            merged[title] = Section(title, section.how, section.rows)
    return list(merged.values())


def _page(sections: list[Section], about: list[str], seconds: float, quick: bool) -> str:
    lines: list[str] = []
    if quick:
        lines += ["**A quick run: too few repetitions to quote.**", ""]
    lines += about
    lines += [f"- the run took {seconds:.0f} s", ""]
    lines += ["p99 is by nearest rank: below 100 values it is the largest one.", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.how:
            lines += [textwrap.fill(section.how, WIDTH, break_on_hyphens=False), ""]
        lines += [table(section.rows), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
