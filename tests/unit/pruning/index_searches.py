"""Made-up searches with the rule ``index``: slots that train configurations, and all that a database would store."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrator.pruning import Direction, Outcome
from orchestrator.pruning.index_rule import IndexRule
from tests.unit.pruning.built_rules import build
from tests.unit.pruning.histories import VALUES

R = 27


def index(direction: Direction = "maximize", max_steps: int = R, **arguments: Any) -> IndexRule:
    return cast(IndexRule, build("index", arguments, direction, max_steps=max_steps))


@dataclass
class Search:
    """Slots that train made-up configurations with the rule, and all that a database would have stored meanwhile."""

    rule: IndexRule
    slots: int
    trials: int
    draw: random.Random
    values: dict[int, dict[int, float]] = field(default_factory=dict)
    ended: dict[int, Outcome] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)
    running: dict[int, int] = field(default_factory=dict)
    promoted: list[int] = field(default_factory=list)

    def curve(self, trial: int, step: int) -> float:
        """A trial's quality shows in its first steps, and trials that begin slowly may cross others."""
        own = random.Random(trial)
        return own.random() * (1 - math.exp(-step * (0.02 + own.random() / 5)))

    def run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Fills the slots, and lets one trial report; returns whether there was anything to do."""
        self.rule.expect_new(len(self.values) < self.trials)
        while len(self.running) < self.slots:
            promotion = self.rule.promote()
            if promotion is not None:
                trial = promotion.trial
                self.paused.remove(trial)
                self.promoted.append(trial)
            elif len(self.values) < self.trials:
                trial = len(self.values)
                self.values[trial] = {}
                self.rule.start(trial)
                self.rule.expect_new(len(self.values) < self.trials)
            else:
                break
            self.running[trial] = max(self.values[trial], default=0)
        if not self.running:
            return False
        trial = self.draw.choice(list(self.running))
        step = self.running[trial] = self.running[trial] + 1
        value = self.curve(trial, step)
        self.values[trial][step] = value
        self.rule.observe(trial, step, value)
        until = self.rule.until(trial)
        if until is None and step >= self.rule.rungs[-1]:
            self.leave(trial, "COMPLETE")
        elif until is not None and step >= until:
            del self.running[trial]
            self.rule.pause(trial)
            self.paused.add(trial)
        return True

    def leave(self, trial: int, state: Outcome) -> None:
        del self.running[trial]
        self.rule.finish(trial, state)
        self.ended[trial] = state

    def rebuilt(self) -> IndexRule:
        """A rule that knows only what a database would, in any order."""
        fresh = type(self.rule)(self.rule.name, "maximize" if self.rule._book.sign > 0 else "minimize", self.rule.rungs)
        fresh.restore_study(stored(self.rule.study_attributes()))
        trials = list(self.values)
        self.draw.shuffle(trials)
        for trial in trials:
            if trial not in self.ended:
                fresh.start(trial)
            fresh.restore(trial, self.values[trial], self.ended.get(trial), stored(self.rule.attributes(trial)))
        for trial in self.paused:
            fresh.pause(trial)
        return fresh


def stored(attributes: dict[str, Any]) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(json.dumps(attributes | {"another's": [1]}, allow_nan=False)))


class Wild(Search):
    """Reports that tie, are no numbers or huge, come late or with gaps; trials that end anyhow."""

    def curve(self, trial: int, step: int) -> float:
        return random.Random(trial * 101 + step).choice([*VALUES, 0.25, 0.5, 0.75])

    def step(self) -> bool:
        goes_on = super().step()
        for trial in list(self.running):
            if self.draw.random() < 0.04:
                self.leave(trial, self.draw.choice(("COMPLETE", "FAIL", "PRUNED")))
        living = sorted(self.values.keys() - self.ended.keys())
        if living and self.draw.random() < 0.1:
            trial, step = self.draw.choice(living), self.draw.randint(0, self.rule.rungs[-1])
            if step not in self.values[trial] and self.values[trial]:
                self.values[trial][step] = self.curve(trial, step)
                self.rule.observe(trial, step, self.curve(trial, step))
                if trial in self.running:
                    self.running[trial] = max(self.running[trial], step)
        return goes_on
