"""An objective that makes every call that Optuna's trial and study offer, and records the answers.

It knows nothing of this program: under ``study.optimize`` it records the answers that are expected.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import json
import math
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

FIXED: dict[str, Any] = {
    "given": 0.25,
    "far": 99,
    "whole": 3.0,
    "flag": 1,
    "none of these": 7,
    "text": "b",
    "word": "word",
    "int": 4,
    "log": 0.5,
    "step": 0.5,
    "half": 2.5,
    "true": True,
    "not a number": "abc",
    "old": 0.5,
    "older": 0.5,
    "oldest": 0.5,
    "is_int": 3,
}
"""Parameters of the enqueued trial, so that both runs have the same values."""


class Color(enum.Enum):
    RED = 1


class Name(str, enum.Enum):  # noqa: UP042 - a member is text, and prints otherwise
    KEY = "key"


class Text(str):
    __slots__ = ()


CALLS = Path(__file__).with_name("trial_calls.txt").read_text().splitlines()
"""Calls, one a line, made in this order."""

REFUSED = Path(__file__).with_name("refused_calls.txt").read_text().splitlines()
"""Calls that Optuna, or some of its storages, accepts. They change later answers, so they come last."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


NAMES: dict[str, Any] = {
    "Color": Color,
    "Name": Name,
    "Text": Text,
    "TrialState": TrialState,
    "circle": circle,
    "copy": copy,
    "create_trial": create_trial,
    "datetime": datetime,
    "decimal": decimal,
    "nested": nested,
    "np": np,
    "optuna": optuna,
    "pickle": pickle,
}
"""Names that the calls use."""


def calls() -> list[str]:
    """Returns all calls, and every attribute of Optuna's classes, added in later versions too."""
    listed = list(CALLS)
    for owner, kind in (("trial", Trial), ("study", optuna.Study)):
        for name in public(kind):
            if not callable(getattr(kind, name)):
                listed.append(f"{owner}.{name}")
    attributes = ["study.sampler", "study.pruner", "study.study_name", "trial.study", "trial.relative_search_space"]
    return [*listed, *attributes, *REFUSED]


def never_called() -> list[str]:
    """Returns the methods that Optuna has and this list does not name."""
    return [
        f"{owner}.{name}"
        for owner, kind in (("trial", Trial), ("study", optuna.Study))
        for name in public(kind)
        if callable(getattr(kind, name)) and not any(f"{owner}.{name}(" in call for call in [*CALLS, *REFUSED])
    ]


def public(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def objective(trial: optuna.Trial, folder: str) -> float | tuple[float, float]:
    several = len(trial.study.directions) > 1
    trial.suggest_float("x", 0, 1)
    if trial.number == 0:
        if not several:
            trial.report(0.75, 2)
        trial.set_constraint("memory", -1)
        trial.set_user_attr("note", {"a": None})
        return (0.5, 1.5) if several else 0.5
    answers = {f"{number} {call}": asked(call, trial) for number, call in enumerate(calls())}
    Path(folder, "answers.json").write_text(json.dumps(answers))
    return (1.0, 2.0) if several else 1.0


def asked(call: str, trial: optuna.Trial) -> list[Any]:
    """Returns the answer or the error, and the warnings."""
    names = NAMES | {"trial": trial, "study": trial.study}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Python says this of a connection whenever it collects one, in whatever call it happens to be.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            # Of suggestions that were not enqueued the kind alone can be compared.
            value = eval(call, names)
            answer = type(value).__name__ if "'free" in call else shown(value)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
    said = dict.fromkeys(f"{each.category.__name__}: {plain(str(each.message))}" for each in caught)
    return [plain(answer), list(said)]


def plain(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text).replace("Worker", "")[:2_000]


def shown(value: Any) -> str:
    """Returns a value as text that does not depend on the moment or the draw."""
    if isinstance(value, str) and type(value) is not str:
        return f"str {str.__str__(value)!r}"
    if isinstance(value, FrozenTrial):
        kept = {key: each for key, each in value.user_attrs.items() if key != "source"}
        params = sorted(shown(name) for name in value.params if name != "x")
        parts = (value.state.name, value.values, value.datetime_start is None, value.datetime_complete is None, params)
        system = sorted(key for key in value.system_attrs if not key.startswith("orchestrator:"))
        return f"trial {value.number} {parts} {sorted(map(shown, kept))} {system} {value.intermediate_values}"
    if isinstance(value, list) and value and isinstance(value[0], FrozenTrial):
        return " | ".join(map(shown, value))
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in ("x", "source")}
        drawn = {key: type(each).__name__ for key, each in kept.items() if str(key).startswith("free")}
        return f"dict {sorted((shown(key), shown(each)) for key, each in (kept | drawn).items())}"
    if isinstance(value, float) and math.isnan(value):
        return "float nan"
    if isinstance(value, datetime.datetime):
        return f"datetime {value.tzinfo}"
    if type(value).__name__ == "DataFrame":
        return f"DataFrame {len(value)} {sorted(str(each) for each in value.columns if 'source' not in str(each))}"
    if type(value).__module__.partition(".")[0] in ("optuna", "plotly", "tasks"):
        return "an object of theirs" if not isinstance(value, enum.Enum) else str(value)
    return f"{type(value).__name__} {value!r}"
