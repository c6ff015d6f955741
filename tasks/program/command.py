"""The command of a study whose trials are runs of a program, and how its placeholders are filled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

OBJECTIVE: Final = "tasks.program.objective:train"
"""The objective of such a study."""

PARAMS_FILE: Final = "params_file"
CHECKPOINT_DIR: Final = "checkpoint_dir"
ARTIFACT_DIR: Final = "artifact_dir"
TRIAL: Final = "trial"
STUDY: Final = "study"
CODE_DIR: Final = "code_dir"
"""Placeholder for the folder of the files that go with the study; only where there are some."""

PLACES: Final = (PARAMS_FILE, CHECKPOINT_DIR, ARTIFACT_DIR, TRIAL, STUDY)
"""Placeholders beside the parameters; a parameter of such a name goes first."""

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class BadPlaceholder(ValueError):
    """A brace that opens or closes no placeholder; the message is one line."""


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The program that a worker starts for each trial, and how its output is read.

    Attributes:
        run: The program and its arguments, with placeholders such as ``{lr}``. No shell interprets them.
        env: Variables that are set for it, with placeholders.
        metric: Names of the metrics that are the objective's values, one for each direction.
        step: Name of the metric that counts the steps.
        result: Whether the trial's value is the last one reported or the best one.
        patterns: Regular expressions by the name of the metric that their first group is, for a program that prints its
            metrics.
    """

    run: tuple[str, ...]
    env: dict[str, str] = {}
    metric: tuple[str, ...] = ("value",)
    step: str = "step"
    result: Literal["last", "best"] = "last"
    patterns: dict[str, str] = {}


def placeholders(text: str) -> Iterator[str]:
    """Yields the names in braces. Doubled braces are plain ones.

    Raises:
        BadPlaceholder: a brace stands alone.
    """
    for found in _BRACES.finditer(text):
        if found[1] is not None:
            yield found[1]
        elif len(found[0]) == 1:
            raise BadPlaceholder(f"has a single '{found[0]}'")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Returns the text with its placeholders filled, each as ``str`` writes the value.

    Raises:
        KeyError: there is no such value.
    """
    return _BRACES.sub(lambda found: found[0][0] if found[1] is None else str(values[found[1]]), text)
