"""Specs as text, and what the tests of several files ask of them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.spec import Spec, parse

BASE = 'name = "a"\nobjective = "m:f"\ntrials = 3\n'


HUGE_HEX = "0x" + "f" * 6000  # over the number of digits that Python prints


FULL = """
name = "digits-1.a_b"
objective = "tasks.objectives.digits:objective"
direction = "maximize"
trials = 40
max_steps = 27
parallel = 8
lookahead = 2
seed = 7
queue = "gpu"
catch = ["ValueError", "torch.cuda.OutOfMemoryError"]
grace = 3
[args]
epochs = 27
nested = { list = [1, "x", [true]], float = 0.5 }
[sampler]
name = "tpe"
n_startup_trials = 5
[pruner]
name = "median"
n_startup_trials = 2
[space]
lr = { type = "float", low = 1e-4, high = 1e-2, log = true }
drop = { type = "float", low = 0, high = 0.5, step = 0.25 }
layers = { type = "int", low = 1, high = 9, step = 2 }
optimizer = { type = "categorical", choices = ["SGD", 1, 2.5, false] }
[retry]
max_attempts = 5
"""


def made(extra: str = "", base: str = BASE) -> Spec:
    return parse(base + extra, "s.toml")


def keys_of(table: RuleArguments) -> dict[str, Any]:
    """Returns what a table says besides its rule's name."""
    return table.model_dump(exclude={"name"})


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse(text, "s.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("s.toml")
    assert len(message) < 700
    return message


def check_refused(extra: str, pieces: tuple[str, ...]) -> None:
    """Checks that a spec with this text is refused, in a message with these pieces in their order."""
    message = refusal(BASE + extra)
    at = 0
    for piece in pieces:
        assert piece in message[at:], message
        at = message.index(piece, at) + len(piece)
