"""The comparison of pruning rules, in a small form: every rule searches, and the page says the same each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench.search.__main__ import compare
from tests.bench.search.contenders import ALL, OPTUNAS, RULES, make
from tests.bench.search.loop import Setting, search
from tests.bench.search.tables import Table, read

SECONDS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small tables: curves that rise to a level of their own, and losses that fall, of which some diverge."""
    made = tmp_path_factory.mktemp("curves")
    draw = np.random.default_rng(3)
    levels, paces = draw.random((40, 1)), draw.random((40, 1)) / 5 + 0.05
    rising = levels * (1 - np.exp(-np.arange(1, 13) * paces))
    np.savez(made / "lcbench_made.npz", curves=rising, direction="maximize")
    falling = np.concatenate([np.full((40, 1), 9.0), 1 - rising], axis=1)
    falling[::7, 8:] = np.nan
    np.savez(made / "taskset_made.npz", curves=falling, direction="minimize")
    return made


def test_every_rule_searches_and_the_page_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    pages = []
    for turn in range(2):
        page = tmp_path / f"page{turn}.md"
        command = [
            sys.executable,
            "-m",
            "tests.bench.search",
            "--quick",
            "--curves",
            str(folder),
            "--output",
            str(page),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        pages.append(page.read_text())
        assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert pages[0] == pages[1]
    for label in (*RULES, *OPTUNAS, ALL):
        assert f"\n| {label}" in pages[0]


def test_a_table_without_a_rule_is_trained_in_order_and_its_regret_falls(folder: Path) -> None:
    table = read(folder / "lcbench_made.npz")
    found = search(table, make("none", table), Setting(1), 0, (12, 120, 480))
    assert list(found.regret) == sorted(found.regret, reverse=True)
    assert found.regret[-1] == 0
    assert found.lost == 0
    assert found.reached is not None


def test_noise_shows_other_values_and_a_price_for_resuming_costs_epochs(folder: Path) -> None:
    table = read(folder / "lcbench_made.npz")
    plain, dear = (search(table, make(ALL, table), Setting(1, resume=price), 0, (60, 100)) for price in (0, 20))
    assert plain.regret[0] < dear.regret[0]
    noisy = search(table, make("index", table), Setting(2, noise=1.0), 0, (400,))
    assert noisy.regret[0] > 0


def test_optunas_pruners_search_the_smallest_table_alone(folder: Path) -> None:
    tables = [read(path) for path in sorted(folder.glob("*.npz"))]
    larger = Table("lcbench_larger", np.concatenate([tables[0].curves] * 2))
    found = compare([larger, *tables], range(1), quick=True)
    of_optuna = next(outcomes for (label, _), outcomes in found.items() if label in OPTUNAS)
    assert list(of_optuna) == ["lcbench_made"]
    # Its MedianPruner decides as the rule of that name.
    ours = found["median (2, 5, 3)", Setting(4)]["lcbench_made"]
    assert found["Optuna's MedianPruner", Setting(4)]["lcbench_made"] == ours
