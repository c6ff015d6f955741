"""With one slot and a seed, the rows are those of the version in which the sampler ran inside the fold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from driver import World, make_spec
from test_repeatable import SEARCHES

RECORDED: dict[str, list[Any]] = json.loads((Path(__file__).parent / "recorded" / "sampled.json").read_text())
"""By search, of each trial: state, parameters, reports, values. What never began was FAIL then, and waits now."""


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("name", RECORDED)
def test_the_rows_are_those_of_before(name: str, rebuild: bool) -> None:
    objective, changes = SEARCHES[name]
    world = World(make_spec(**changes), objective, rebuild=rebuild).run()
    rows = [
        [row.state, {key: value for key, (value, _) in row.params.items()}, list(row.steps.values()), row.values]
        for row in world.ledger.trials.values()
    ]
    found, recorded = json.loads(json.dumps(rows)), RECORDED[name]
    assert [row[0] for row in found] == [row[0] for row in recorded]
    for row, before in zip(found, recorded, strict=True):
        assert row[1] == pytest.approx(before[1], rel=1e-9)
        assert row[2:] == before[2:] or row[2:] == [pytest.approx(each, rel=1e-6) for each in before[2:]]
