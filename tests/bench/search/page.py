"""The page of what the comparison has found, and its plot."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from tests.bench.search.loop import Outcome, Setting
from tests.bench.search.tables import FAMILIES, Table

Found = Mapping[tuple[str, Setting], Mapping[str, Sequence[Outcome]]]

_HOW = """How few epochs each pruning rule needs to a good configuration. Written by `make bench-search`: nothing is
trained, the rules run in the loop over learning curves that were recorded before.

{tables}
- **Search.** Configurations start in a random order, the same for all rules; orders tried of each table: {seeds}.
  No sampler learns. Slots run in step, each epoch costs 1, and a slot chooses its next trial as soon as one pauses.
- **Rules.** `median (2, 5, 3)` has `n_startup_trials = 2`, `n_warmup_steps = 5` and `interval_steps = 3`; `median, no
  warm-up` has Optuna's defaults; `median, the default` is the rule of a spec without `[pruner]`. Asha and hyperband
  have `min_resource = 1` and `reduction_factor = 3`; `asha, promotion` has `mode = "promotion"`, and `index, stopping`
  has `mode = "stopping"`. `All for one epoch, then the best` is no rule of this program: it trains every configuration
  for one epoch, then the best of them to their end, one after the other.
- **Regret** after so many epochs: distance of the best value seen so far, at any epoch, to the best final value of the
  table, in units of best − median of the final values. Means over tables and orders.
- **Best 1 %**: epochs until a value is seen that only the best 1 % of the configurations end with; the median, and how
  often it was reached at all.
- **Wrong prunes**: of the best 1 % that had started, how many were stopped, or were still paused at the end; the mean
  of a search.
- **Noise of 0.1**: each report has a normal error of this standard deviation, in the units of regret. Regret is then
  that of the true value behind the report that looked best.
- **1 epoch to resume**: a trial that goes on from a checkpoint, in another slot or later, costs one epoch more.
- **Halves.** Below each table stand the figures of the two halves of a family, into which a hash of the tables' names
  divides them. What `index` decides by was chosen on half 1, and half 2 was looked at once. Some of its constants were
  chosen with both in view. The digits took no part in it.
"""


def write(tables: Sequence[Table], found: Found, marks: Sequence[int], seeds: int, missing: Sequence[str]) -> str:
    """Returns the page in Markdown."""
    families = [family for family in FAMILIES if any(table.family == family for table in tables)]
    about = ", ".join(_about([table for table in tables if table.family == family]) for family in families)
    curves = textwrap.fill(f"- **Tables.** Recorded curves of {about}.", 120, subsequent_indent="  ")
    lines = ["# Search quality", "", _HOW.format(tables=curves, seeds=seeds)]
    if missing:
        lines += [f"Left out, as their curves were not there: {', '.join(FAMILIES[each] for each in missing)}.", ""]
    lines += ["![Regret over epochs, by family](search.png)", ""]
    settings = list(dict.fromkeys(setting for _, setting in found))
    for family in families:
        names = [table.name for table in tables if table.family == family]
        lines += [f"## {FAMILIES[family]}", ""]
        for setting in settings:
            rows = _rows(found, setting, names)
            if rows:
                lines += [f"### {_title(setting)}", "", *_table(rows, marks, len(names) * seeds), ""]
                if len(names) > 1:
                    lines += [*_table(_halves(found, setting, names), marks, 0), ""]
    return "\n".join(lines)


def draw(tables: Sequence[Table], found: Found, marks: Sequence[int], path: Path) -> None:
    """Draws regret over epochs for each family, a row for each of the first three settings."""
    families = [family for family in FAMILIES if any(table.family == family for table in tables)]
    settings = list(dict.fromkeys(setting for _, setting in found))[:3]
    grid = len(settings), len(families)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(3.6 * grid[1], 2.9 * grid[0]), dpi=90, layout="constrained")
    FigureCanvasAgg(sheet)
    for place, (setting, family) in enumerate(product(settings, families)):
        axes = sheet.add_subplot(*grid, place + 1)
        names = [table.name for table in tables if table.family == family]
        for label, outcomes in _rows(found, setting, names):
            regret = np.mean([each.regret for each in outcomes], axis=0)
            axes.plot(marks, np.maximum(regret, 1e-3), label=label, linewidth=2.4 if label == "index" else 1.2)
        axes.set(title=f"{FAMILIES[family]}, {_title(setting)}", xscale="log", yscale="log", xlabel="epochs")
        if family == families[0]:
            axes.set_ylabel("regret")
        if place == len(families) - 1:
            axes.legend(fontsize=6)
    sheet.savefig(path, format="png", metadata={"Software": None})


def _about(tables: Sequence[Table]) -> str:
    configurations, epochs = tables[0].curves.shape
    count = f"{len(tables)} tasks" if len(tables) > 1 else "one task"
    return f"{FAMILIES[tables[0].family]} ({count}, {configurations} configurations of {epochs} epochs)"


def _title(setting: Setting) -> str:
    slots = f"{setting.slots} slots" if setting.slots > 1 else "1 slot"
    noise = f", noise of {setting.noise:g}" if setting.noise else ""
    resume = f", {setting.resume} epoch to resume" if setting.resume else ""
    return slots + noise + resume


def _rows(found: Found, setting: Setting, names: Sequence[str]) -> list[tuple[str, list[Outcome]]]:
    rows = [(key[0], _of(found, key, names)) for key in found if key[1] == setting]
    return [(label, outcomes) for label, outcomes in rows if outcomes]


def _halves(found: Found, setting: Setting, names: Sequence[str]) -> list[tuple[str, list[Outcome]]]:
    """Returns what the two pausing rules have come to on each half of the tables."""
    halves = {f"half {half + 1}": [name for name in names if _half(name) == half] for half in (0, 1)}
    rules = [label for label in ("asha, promotion", "index") if (label, setting) in found]
    rows = [(f"{label}, {half}", _of(found, (label, setting), halves[half])) for half in halves for label in rules]
    return [(label, outcomes) for label, outcomes in rows if outcomes]


def _half(name: str) -> int:
    return sha256(name.encode()).digest()[0] % 2


def _of(found: Found, key: tuple[str, Setting], names: Sequence[str]) -> list[Outcome]:
    return [outcome for name in names for outcome in found[key].get(name, ())]


def _table(rows: Sequence[tuple[str, Sequence[Outcome]]], marks: Sequence[int], whole: int) -> list[str]:
    lines = [
        f"| | {' | '.join(map(str, marks))} | best 1 % | reached | wrong prunes |",
        "|---" * (len(marks) + 4) + "|",
    ]
    for label, outcomes in rows:
        regret = np.mean([each.regret for each in outcomes], axis=0)
        reached = [each.reached for each in outcomes if each.reached is not None]
        lost = np.mean([each.lost for each in outcomes])
        # A rule that was not run on all tables of the family cannot be compared with the others.
        some = "" if not whole or len(outcomes) == whole else f" ({len(outcomes)} of {whole} searches)"
        cells = [f"{each:.3f}" for each in regret]
        share = f"{100 * len(reached) / len(outcomes):.0f} %"
        middle = f"{median(reached):.0f}" if reached else "–"
        lines.append(f"| {label}{some} | {' | '.join(cells)} | {middle} | {share} | {lost:.1f} |")
    return lines
