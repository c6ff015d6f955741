"""The study as an objective may read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial

from orchestrator.sampling.staged_storage import StagedStorage
from tasks.codec import encode
from tasks.constraints import constraints_of
from tasks.contract import Reply, StudyView, TrialView
from tasks.limits import MAX_SHOWN_BYTES
from tasks.storable import OURS

MOST_VALUES = 1_000_000
"""Recorded values that are shown at the most: beyond it, some 15 MB would be sent for one look."""


def view(storage: StagedStorage, runner: str, seq: int) -> Reply:
    """Returns the answer to a look: the study's trials, without what was sampled ahead and not asked for yet."""
    trials = storage.get_all_trials(0, deepcopy=False)
    values = sum(len(trial.intermediate_values) + len(trial.params) for trial in trials)
    if values > MOST_VALUES:
        return _refusal(runner, seq, f"{len(trials)} trials hold {values} values; at most {MOST_VALUES}")
    known: dict[str, int] = {}
    seen = tuple(_trial(trial, set(storage.ahead(trial.number)), known) for trial in trials)
    reply = Reply(runner=runner, seq=seq, name="", study=StudyView(distributions=tuple(known), trials=seen))
    if (size := len(encode(reply))) > MAX_SHOWN_BYTES:
        held = f"{len(trials)} trials are {size >> 20} MiB, most of it attributes; at most {MAX_SHOWN_BYTES >> 20} MiB"
        return _refusal(runner, seq, held)
    return reply


def _refusal(runner: str, seq: int, words: str) -> Reply:
    remedy = "optuna.load_study reads all of it where the database can be reached"
    return Reply(runner=runner, seq=seq, name="", error=f"the study's {words} can be read on a worker; {remedy}")


def _trial(trial: FrozenTrial, ahead: set[str], known: dict[str, int]) -> TrialView:
    params = {}
    for name, distribution in trial.distributions.items():
        if name not in ahead:
            index = known.setdefault(distribution_to_json(distribution), len(known))
            params[name] = (distribution.to_internal_repr(trial.params[name]), index)
    return TrialView(
        trial.state.name,
        None if trial.values is None else tuple(trial.values),
        params,
        dict(trial.user_attrs),
        constraints_of(trial.system_attrs),
        dict(trial.intermediate_values),
        _seconds(trial.datetime_start),
        _seconds(trial.datetime_complete),
        told(trial.system_attrs),
    )


def told(system_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what an objective is told of system attributes: all but the control plane's own."""
    return {key: value for key, value in system_attrs.items() if not key.startswith(OURS)}


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
