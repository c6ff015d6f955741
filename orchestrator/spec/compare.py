"""Compares two specs: are they one search, and if not, why; and what a study keeps that its next spec does not name."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.common.faults import Fault, dotted, show
from orchestrator.spec.model import Spec, check_rules


def requested(spec: Spec) -> dict[str, Any]:
    """Returns ``spec.to_json`` without the rule where the spec names none: a study that exists keeps its own."""
    data = spec.to_json()
    if "pruner" not in spec.model_fields_set:
        del data["pruner"]
    return data


def going_on(study: Spec, spec: Spec) -> Spec:
    """Returns ``spec`` for a study that exists: the rule is the study's where ``spec`` names none.

    Raises:
        BadInput: that rule does not go with what ``spec`` says.
    """
    if "pruner" in spec.model_fields_set:
        return spec
    spec = spec.model_copy(update={"pruner": study.pruner})
    try:
        check_rules(spec)
    except Fault as fault:
        raise fault.blame(f"study '{spec.name}'") from None
    return spec


def differences(old: Spec, new: Spec) -> list[str]:
    """Returns, in words, why the two are different searches; an empty list if ``new`` continues ``old``.

    A study is one table of values and its best trial. These make the values incomparable, and so another search:

    - ``objective`` and its directions: other values, or another best.
    - ``args`` and ``command``: they reach the objective. Some are harmless (a number of loader workers), others decide
      what the value means (epochs, a data set), and only the user knows which.
    - ``space``: Optuna refuses other choices or another kind under the same name, grid and brute force count on one
      space, and importances are of one space. Declaring a space where there was none counts as well: the objective's
      own ranges are not known here.

    ``code`` is none of them: it may be mended while a study goes on, and each trial records which code it ran.

    All other keys change how the search goes on, not what was measured. ``trials``, ``parallel``, ``queue``, ``grace``
    and ``retry`` are operations. ``sampler``, ``pruner``, ``shadow``, ``audit`` and ``seed`` may change between the
    runs of an Optuna study; finished trials stay as they were decided, and only the exact repetition from one seed is
    lost. ``max_steps`` is a figure for budgets.

    The exception is a pruner that promotes: trials are paused at its rungs, which end at ``max_steps``.

    Raises:
        BadInput: ``new`` names no rule, and that of ``old`` does not go with it.
    """
    phrases = []
    was, now = old.to_json(), new.to_json()
    if old.command is not None and new.command is not None:
        phrases += _tables("command", was["command"], now["command"])
    for key, before, after in (
        ("objective", old.objective or old.reference, new.objective or new.reference),
        ("direction", ", ".join(old.objectives), ", ".join(new.objectives)),
    ):
        if before != after:
            phrases.append(f"{key} was '{before}' and is '{after}'")
    phrases += _tables("args", was["args"], now["args"])
    for name in _keys(was["space"], now["space"]):
        before, after = was["space"].get(name), now["space"].get(name)
        key = dotted(("space", name))
        if before is None:
            phrases.append(f"{key} was not there and is new")
        elif after is None:
            phrases.append(f"{key} was there and is gone")
        elif before["type"] != after["type"]:
            phrases.append(f"{key}.type was '{before['type']}' and is '{after['type']}'")
        else:
            phrases += _tables(key, before, after)
    return phrases + _rungs(old, going_on(old, new))


def _rungs(old: Spec, new: Spec) -> list[str]:
    """Returns what differs about the rungs, if either spec pauses trials there."""
    if not old.pruner.promotes and not new.pruner.promotes:
        return []
    was, now = ({**spec.to_json()["pruner"], "max_steps": spec.max_steps} for spec in (old, new))
    if was["name"] != now["name"]:
        differing = ["name"]
    elif was["mode"] != now["mode"]:
        differing = ["mode"]
    else:
        differing = [key for key in (*new.pruner.rung_keys, "max_steps") if was[key] != now[key]]
    why = "trials paused at a rung would have nowhere to go"
    if not old.pruner.promotes:
        why = "trials that were stopped cannot be promoted"
    names = {key: key if key == "max_steps" else f"pruner.{key}" for key in differing}
    return [f"{names[key]} was {_show(was[key])} and is {_show(now[key])}, and {why}" for key in differing]


def _tables(prefix: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Returns in words the keys in which two tables differ."""
    phrases = []
    for name in _keys(old, new):
        key = f"{prefix}.{dotted((name,))}"
        if name not in old:
            phrases.append(f"{key} was not set and is {_show(new[name])}")
        elif name not in new:
            phrases.append(f"{key} was {_show(old[name])} and is not set")
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            phrases += _tables(key, old[name], new[name])
        elif _text(old[name]) != _text(new[name]):
            phrases.append(f"{key} was {_show(old[name])} and is {_show(new[name])}")
    return phrases


def _keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys([*old, *new]))


def _text(value: Any) -> str:
    """Returns JSON, because Python calls 1, 1.0 and True equal and an objective need not."""
    return json.dumps(value, sort_keys=True)


def _show(value: Any) -> str:
    if value is None:
        return "not set"
    text = show(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
