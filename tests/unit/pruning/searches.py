"""Made-up searches with promotions: slots that train configurations, with a plain reference beside the rule."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from orchestrator.pruning import Decision, Direction, Outcome
from orchestrator.pruning.promotion import PromotionRule
from tests.unit.pruning.algorithm2 import Reference
from tests.unit.pruning.histories import DIRECTIONS

VALUES = (0.0, 1.0, 1.0, 2.0, 3.0, -0.0, math.nan, math.inf, -math.inf)


@dataclass(frozen=True)
class Search:
    """Slots that train made-up configurations; the seed draws which of them finishes next."""

    direction: Direction
    r: int
    R: int
    eta: int
    s: int
    table: int | None
    slots: int
    seed: int
    value: Callable[[int, int], float]
    configurations: int = 27
    calm: bool = False  # all report at every step, and none fails
    rebuilds: bool = False  # now and then the rule is made anew from what was stored

    def rule(self) -> PromotionRule:
        return PromotionRule("asha", self.direction, self.r * self.eta**self.s, self.R, self.eta, self.table)


def play(search: Search, rule: PromotionRule) -> None:
    """Runs a search to its end, and checks each choice of the rule against the reference."""
    draw = random.Random(search.seed)
    reference = Reference(search.direction, search.r, search.R, search.eta, search.s, search.table)
    slots: dict[int, list[int]] = {}  # by trial, the steps it is yet to report in this slice
    started = 0
    total = search.configurations if search.table is None else search.table
    while True:
        while len(slots) < search.slots:
            trial = choose(rule, reference)
            if trial is None:
                if started == total:
                    break
                trial, started = started, started + 1
                reference.start(trial)
            slots[trial] = plan(search, rule.until(trial), reference.reports[trial], draw)
        if not slots:
            break
        trial = draw.choice(list(slots))
        if slots[trial]:
            step = slots[trial].pop(0)
            reference.reports[trial][step] = search.value(trial, step)
            rule.record(trial, step, search.value(trial, step))
        else:
            leave_slot(search, rule, reference, trial, draw)
            del slots[trial]
        if not search.calm:
            disturb(search, rule, reference, slots, draw)
        if search.rebuilds and draw.random() < 0.1:
            rule = rebuilt(search, rule, reference, draw)
        assert rule.held() == reference.held()
        assert rule.paused() == sorted(reference.paused)
    for trial in reference.headed:
        check_standing(rule.standing(trial), reference, trial)


def choose(rule: PromotionRule, reference: Reference) -> int | None:
    expected = reference.get_job()
    assert rule.may_promote() is (expected is not None)
    promotion = rule.promote()
    if promotion is None or expected is None:
        assert promotion is expected
        return None
    trial, rung = promotion.trial, promotion.rung - 1
    assert (trial, promotion.rung) == expected
    good = reference.share(rung)
    assert trial in good
    numbers = [reference.value(other, rung) for other in good if not math.isnan(reference.value(other, rung))]
    why = (reference.steps[rung], reference.value(trial, rung), numbers[-1], len(reference.rung(rung)))
    assert promotion.decision == Decision(False, "asha", *why)
    reference.promote(trial)
    return trial


def plan(search: Search, until: int | None, reported: dict[int, float], draw: random.Random) -> list[int]:
    """The steps a slice reports: all of them, or with gaps, out of order, and past its end."""
    steps = [step for step in range(1, (until or search.R) + 1) if step not in reported]
    if search.calm or draw.random() < 0.5:
        return steps[-3:]
    if draw.random() < 0.3:
        steps += [step + search.R // 3 for step in steps]
    return sorted(
        set(draw.sample(steps, draw.randint(0, min(4, len(steps))))) - set(reported), key=lambda _: draw.random()
    )


def leave_slot(search: Search, rule: PromotionRule, reference: Reference, trial: int, draw: random.Random) -> None:
    state: Outcome | None = "COMPLETE" if rule.until(trial) is None else None
    if not search.calm and draw.random() < 0.2:
        state = draw.choice(("COMPLETE", "FAIL", "PRUNED"))
    if state is None:
        rule.pause(trial)
        reference.paused.add(trial)
    else:
        rule.finish(trial, state)
        reference.end(trial, state)


def disturb(
    search: Search, rule: PromotionRule, reference: Reference, slots: dict[int, Any], draw: random.Random
) -> None:
    """What comes in between: late reports, the end of a paused trial, a pause that is told twice."""
    living = [trial for trial in reference.headed if trial not in reference.ended]
    if living and draw.random() < 0.1:
        trial, step = draw.choice(living), draw.randint(0, search.R)
        if step not in reference.reports[trial] and step not in slots.get(trial, ()):
            reference.reports[trial][step] = search.value(trial, step)
            rule.record(trial, step, search.value(trial, step))
    if reference.paused and draw.random() < 0.05:
        trial = draw.choice(sorted(reference.paused))
        rule.pause(trial)
        if draw.random() < 0.5:
            state: Outcome = draw.choice(("COMPLETE", "FAIL", "PRUNED"))
            rule.finish(trial, state)
            reference.end(trial, state)


def rebuilt(search: Search, rule: PromotionRule, reference: Reference, draw: random.Random) -> PromotionRule:
    """A rule that knows only what a database would, in any order, and who is paused."""
    fresh = search.rule()
    trials = list(reference.headed)
    draw.shuffle(trials)
    for trial in trials:
        stored = json.loads(json.dumps(rule.attributes(trial) | {"another's": [1]}))
        fresh.restore(trial, reference.reports[trial], reference.ended.get(trial), stored)
    for trial in draw.sample(sorted(reference.paused), len(reference.paused)):
        fresh.pause(trial)
    for trial in trials:
        assert fresh.attributes(trial) == rule.attributes(trial)
        assert (fresh.until(trial), fresh.beyond(trial)) == (rule.until(trial), rule.beyond(trial))
        assert same(fresh.standing(trial), rule.standing(trial))
    return fresh


def same(one: Decision, other: Decision) -> bool:
    """Equality to which a NaN equals a NaN."""
    both_nan = math.isnan(one.value) and math.isnan(other.value)
    return (one.value == other.value or both_nan) and (
        (one.prune, one.rule, one.step, one.threshold, one.peers)
        == (other.prune, other.rule, other.step, other.threshold, other.peers)
    )


def check_standing(decision: Decision, reference: Reference, trial: int) -> None:
    last = [k for k in range(len(reference.steps)) if trial in reference.rung(k)]
    if last:
        assert decision.prune
        assert (decision.step, decision.peers) == (reference.steps[last[-1]], len(reference.rung(last[-1])))
        value = reference.value(trial, last[-1])
        assert decision.value == value or (math.isnan(decision.value) and math.isnan(value))


def made_up(seed: int) -> Callable[[int, int], float]:
    """Values that tie often, some of them no numbers."""
    return lambda trial, step: random.Random(seed * 10_007 + trial * 101 + step).choice(VALUES)


searches = st.builds(
    lambda direction, rungs, table, slots, seed, rebuilds: Search(
        direction, *rungs, table, slots, seed, made_up(seed), rebuilds=rebuilds
    ),
    st.sampled_from(DIRECTIONS),
    st.sampled_from(
        [(1, 9, 3, 0), (1, 27, 3, 0), (1, 30, 3, 0), (2, 30, 3, 1), (1, 16, 2, 0), (1, 8, 2, 1), (3, 50, 4, 0)]
    ),
    st.none() | st.integers(1, 27),
    st.integers(1, 9),
    st.integers(0, 2**32),
    st.booleans(),
)
