"""Two specs are one search, or the differences are named."""

from __future__ import annotations

import pytest
from spec_text import made

from orchestrator.common.errors import BadInput
from orchestrator.pruning.registry import DEFAULT, NO_RULE
from orchestrator.spec import Spec, differences
from orchestrator.spec.compare import going_on, requested

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
        (PROMOTION, "max_steps = 27\n", []),
        (PROMOTION, "max_steps = 81\n", [f"max_steps was 27 and is 81, {NOWHERE}"]),
        (PROMOTION, "[pruner]\nname = 'none'\n", [f"pruner.name was 'asha' and is 'none', {NOWHERE}"]),
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


@pytest.mark.parametrize("known", ["none", "median", "hyperband"])
def test_a_study_keeps_its_rule_where_its_next_spec_names_none(known: str) -> None:
    study = made(f"[pruner]\nname = '{known}'")
    silent = Spec.from_json(requested(made("seed = 3")))
    assert going_on(study, silent) == silent.model_copy(update={"pruner": study.pruner})
    named = Spec.from_json(requested(made("[pruner]\nname = 'threshold'\nupper = 1.0")))
    assert going_on(study, named) == named


def test_a_rule_that_a_study_keeps_has_to_go_with_the_rest_of_the_spec() -> None:
    study = made("max_steps = 9\n[pruner]\nname = 'index'")
    with pytest.raises(BadInput, match=r"study 'a': pruner.name: is 'index', which needs max_steps"):
        going_on(study, made())


def test_a_new_study_gets_the_default_rule_and_one_with_several_objectives_none() -> None:
    assert made().pruner == DEFAULT
    assert made("directions = ['minimize', 'maximize']").pruner == NO_RULE
    assert made("[pruner]\nname = 'none'").pruner == NO_RULE
    assert made().to_json()["pruner"]["name"] == "median", "what is stored says all"
