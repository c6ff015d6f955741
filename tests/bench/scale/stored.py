"""Studies that have run for long: their rows, written at once."""

from __future__ import annotations

import json
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from sqlalchemy import Connection, insert, select

from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_tables import DIRECTIONS, PARAMS, STEPS, STUDIES, TRIALS, VALUES
from tests.bench.scale.stand import Stand, spec_of

EPOCHS = 5


def filled(stand: Stand, name: str, finished: int, trials: int, **more: Any) -> Spec:
    """Writes a study with so many finished trials, each of ``EPOCHS`` epochs and one attempt; returns its spec."""
    spec = spec_of(name, trials, **more)
    with stand.database.write() as connection:
        study_id = _study(connection, spec)
        _trials(connection, spec, study_id, finished, random.Random(name))
    return spec


def _study(connection: Connection, spec: Spec) -> int:
    made = insert(STUDIES).values(study_name=spec.name).returning(STUDIES.c.study_id)
    study_id = int(connection.execute(made).scalar_one())
    connection.execute(insert(DIRECTIONS).values(direction="MAXIMIZE", study_id=study_id, objective=0))
    row = {"study_id": study_id, "uid": str(uuid.uuid4()), "spec": json.dumps(spec.to_json()), "seed": 1}
    row |= {"state": "running", "reason": "", "created": time.time(), "changed": time.time()}
    connection.execute(insert(own_tables.studies).values(**row))
    return study_id


def _trials(connection: Connection, spec: Spec, study_id: int, count: int, rng: random.Random) -> None:
    now = time.time()
    when = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
    trial = {"study_id": study_id, "state": "COMPLETE", "datetime_start": when, "datetime_complete": when}
    connection.execute(insert(TRIALS), [trial | {"number": number} for number in range(count)])
    of_study = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number)
    values = {trial_id: rng.random() for trial_id in connection.scalars(of_study)}
    value = {"objective": 0, "value_type": "FINITE"}
    connection.execute(insert(VALUES), [value | {"trial_id": each, "value": v} for each, v in values.items()])
    steps = [
        {"trial_id": each, "step": step, "intermediate_value": v, "intermediate_value_type": "FINITE"}
        for each, v in values.items()
        for step in range(1, EPOCHS + 1)
    ]
    connection.execute(insert(STEPS), steps)
    space = [(name, each, distribution_to_json(each)) for name, each in spec.distributions().items()]
    params = [
        {"trial_id": each, "param_name": name, "param_value": _draw(rng, distribution), "distribution_json": text}
        for each in values
        for name, distribution, text in space
    ]
    connection.execute(insert(PARAMS), params)
    attempt = {"study_id": study_id, "number": 1, "state": "done", "runner": "r", "acknowledged": EPOCHS + 3}
    attempt |= {"cause": "finished", "verdict": "", "host": "scale", "slot": "s", "device": "cpu"}
    attempt |= {"created": now, "sent": now, "started": now, "ended": now}
    attempts = [attempt | {"token": str(uuid.uuid4()), "trial": number} for number in range(count)]
    connection.execute(insert(own_tables.attempts), attempts)


def _draw(rng: random.Random, distribution: BaseDistribution) -> float:
    """Returns an internal value of a parameter."""
    if isinstance(distribution, CategoricalDistribution):
        return float(rng.randrange(len(distribution.choices)))
    low, high = distribution.to_internal_repr(distribution.low), distribution.to_internal_repr(distribution.high)  # type: ignore[attr-defined]
    return float(int(rng.uniform(low, high))) if type(distribution.low) is int else rng.uniform(low, high)  # type: ignore[attr-defined]
