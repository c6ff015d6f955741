"""Two specs are one search, or the differences are named."""

from __future__ import annotations

import pytest
from spec_text import made

from orchestrator.spec import differences

FREE = """
parallel = 2
max_steps = 9
lookahead = 3
seed = 4
queue = "q"
catch = ["X"]
grace = 2
audit = 0.5
[sampler]
name = "random"
[pruner]
name = "median"
[shadow]
name = "wilcoxon"
[retry]
max_attempts = 1
"""


PARAMETER = "[space]\nx = { type = 'float', low = 0, high = 1 }\n"


@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        ("", "", []),
        ("", "direction = 'maximize'", ["direction was 'minimize' and is 'maximize'"]),
        ("[args]\nx = 1", "[args]\nx = 2", ["args.x was 1 and is 2"]),
        ("[args]\nx = 1", "[args]\nx = 1.0", ["args.x was 1 and is 1.0"]),
        ("[args]\nx = 1", "[args]\nx = true", ["args.x was 1 and is true"]),
        ("[args]\nx = 1", "", ["args.x was 1 and is not set"]),
        ("", "[args]\nx = 'a'", ["args.x was not set and is 'a'"]),
        ("[args]\nx = { y = 1, z = 2 }", "[args]\nx = { z = 2, y = 3 }", ["args.x.y was 1 and is 3"]),
        ("[args]\nx = 1\ny = 2", "[args]\ny = 2\nx = 1", []),
        ("", PARAMETER, ["space.x was not there and is new"]),
        (PARAMETER, "", ["space.x was there and is gone"]),
        (PARAMETER, PARAMETER.replace("1 }", "2 }"), ["space.x.high was 1.0 and is 2.0"]),
        (PARAMETER, PARAMETER.replace("1 }", "1.0 }"), []),
        (PARAMETER, PARAMETER.replace("1 }", "1, step = 1 }"), ["space.x.step was not set and is 1.0"]),
        (PARAMETER, PARAMETER.replace("float", "int"), ["space.x.type was 'float' and is 'int'"]),
        (
            "[space]\nx = { type = 'categorical', choices = [1, 2] }",
            "[space]\nx = { type = 'categorical', choices = [2, 1] }",
            ["space.x.choices was [1, 2] and is [2, 1]"],
        ),
        (
            "",
            FREE,
            [],
        ),
    ],
)
def test_differences(old: str, new: str, phrases: list[str]) -> None:
    assert differences(made(old), made(new)) == phrases


def test_another_objective_is_another_search_and_more_trials_are_not() -> None:
    other = made(base='name = "b"\nobjective = "m:g"\ntrials = 99\n')
    assert differences(made(), other) == ["objective was 'm:f' and is 'm:g'"]


ASHA = "max_steps = 27\n[pruner]\nname = 'asha'\nreduction_factor = 3\n"
PROMOTION, SYNC = f"{ASHA}mode = 'promotion'\n", f"{ASHA}mode = 'sync'\n"
NOWHERE = "and trials paused at a rung would have nowhere to go"
STOPPED = "and trials that were stopped cannot be promoted"


@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        (PROMOTION, PROMOTION, []),
        (SYNC, SYNC + "restart = true\n", []),
        (ASHA, ASHA.replace("3", "2").replace("27", "9"), []),
        (PROMOTION, ASHA, [f"pruner.mode was 'promotion' and is 'stopping', {NOWHERE}"]),
        (PROMOTION, SYNC, [f"pruner.mode was 'promotion' and is 'sync', {NOWHERE}"]),
        (SYNC, PROMOTION, [f"pruner.mode was 'sync' and is 'promotion', {NOWHERE}"]),
        (ASHA, SYNC, [f"pruner.mode was 'stopping' and is 'sync', {STOPPED}"]),
        (PROMOTION, "", [f"pruner.name was 'asha' and is 'none', {NOWHERE}"]),
        (PROMOTION, "[pruner]\nname = 'x:Y'\nmode = 'sync'\n", [f"pruner.name was 'asha' and is 'x:Y', {NOWHERE}"]),
        ("[pruner]\nname = 'median'\n", SYNC, [f"pruner.name was 'median' and is 'asha', {STOPPED}"]),
        (PROMOTION, PROMOTION + "min_resource = 2", [f"pruner.min_resource was 1 and is 2, {NOWHERE}"]),
        (
            SYNC,
            SYNC.replace("27", "9").replace("= 3", "= 2") + "min_early_stopping_rate = 1",
            [
                f"pruner.reduction_factor was 3 and is 2, {NOWHERE}",
                f"pruner.min_early_stopping_rate was 0 and is 1, {NOWHERE}",
                f"max_steps was 27 and is 9, {NOWHERE}",
            ],
        ),
    ],
)
def test_rungs_at_which_trials_pause_stay_where_they_are(old: str, new: str, phrases: list[str]) -> None:
    assert differences(made(old), made(new)) == phrases


def test_a_table_may_grow() -> None:
    more = made(SYNC, 'name = "a"\nobjective = "m:f"\ntrials = 99\n')
    assert differences(made(SYNC), more) == []
