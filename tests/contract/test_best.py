"""One answer to which trial is the best: Optuna's, from memory and from both kinds of database, with constraints."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leased_store import NOW, LeasedStore, make_spec
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import insert, select

from orchestrator.queries.readonly import open_study_reader
from orchestrator.sampling.best_trials import best_of, front_of, in_memory, rank
from orchestrator.storage.batch_writer import to_stored
from orchestrator.storage.best_trial_queries import read_bests
from orchestrator.storage.optuna_tables import DIRECTIONS, STUDIES, SYSTEM_ATTRS, TRIALS, VALUES
from tasks.constraints import constraints_of

NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, math.inf, -math.inf])
CONSTRAINTS = st.sampled_from([0.0, -0.0, -1.0, 1.0, 1e-300, math.nan, math.inf, -math.inf, 2])
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "constraints": st.lists(CONSTRAINTS, max_size=2) | st.none(),
        "constraints:0": CONSTRAINTS,
        "constraints:memory": CONSTRAINTS,
        "Constraints:memory": CONSTRAINTS,
        "constraintsmemory": CONSTRAINTS,
    },
)
STATES = st.sampled_from([TrialState.COMPLETE] * 4 + [TrialState.PRUNED, TrialState.FAIL])


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[str], list[FrozenTrial]]:
    directions = draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=2))
    trials = []
    for _ in range(draw(st.integers(0, 6))):
        state = draw(STATES)
        values = draw(st.lists(NUMBERS, min_size=len(directions), max_size=len(directions)))
        ended = values if state is TrialState.COMPLETE else None
        trials.append(create_trial(state=state, values=ended, system_attrs=draw(ATTRIBUTES)))
    return directions, trials


def store(leased: LeasedStore, directions: Sequence[str], trials: Sequence[FrozenTrial]) -> str:
    """Writes a study as Optuna does, in a fraction of the time."""
    name = uuid.uuid4().hex
    with leased.database.write() as connection:

        def add(table: Any, **row: Any) -> int:
            return int(connection.execute(insert(table).values(**row)).inserted_primary_key[0])

        study = add(STUDIES, study_name=name)
        for place, direction in enumerate(directions):
            add(DIRECTIONS, direction=direction.upper(), study_id=study, objective=place)
        for number, trial in enumerate(trials):
            id = add(TRIALS, number=number, study_id=study, state=trial.state.name)
            for place, value in enumerate(trial.values or ()):
                number_, kind = to_stored(value)
                add(VALUES, trial_id=id, objective=place, value=number_, value_type=kind)
            for key, value in trial.system_attrs.items():
                add(SYSTEM_ATTRS, trial_id=id, key=key, value_json=json.dumps(value))
    return name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:Overwrite an old format constraint")
@given(studies())
def test_the_best_is_the_one_that_optuna_names(leased: LeasedStore, drawn: tuple[list[str], list[FrozenTrial]]) -> None:
    directions, trials = drawn
    name = store(leased, directions, trials)
    study = in_memory(trials, directions)
    if len(directions) > 1:
        expected = [each.number for each in front_of(study) or ()]
        assert set(expected) == {each.number for each in study.best_trials}
    else:
        try:
            expected = [study.best_trial.number]
        except ValueError:
            expected = []
        found = best_of(study)
        assert ([] if found is None else [found.number]) == expected
        good, others = rank(study.trials, maximize=directions[0] == "maximize")
        assert [trial.number for trial in good[:1]] == expected
        complete = [trial.number for trial in study.get_trials(states=(TrialState.COMPLETE,))]
        assert sorted(trial.number for trial in (*good, *others)) == complete
    with open_study_reader(leased.url) as history:
        listing = history.trials(name)
        assert listing.best() == expected
        feasible = [all(value <= 0 for value in trial.constraints.values()) for trial in study.trials]
        assert [head.feasible for head in listing.heads()] == feasible
        if len(directions) == 1:
            assert history.recording(name).study.ranking == [trial.number for trial in good]
            study_id, _ = history._study(name)
            most = read_bests(history._connection, study_id, 9, maximize=directions[0] == "maximize")
            assert [each.number for each in most] == [trial.number for trial in good]


@given(ATTRIBUTES)
@pytest.mark.filterwarnings("ignore:Overwrite an old format constraint")
def test_constraints_are_those_that_optuna_reads(attributes: Mapping[str, Any]) -> None:
    trial = create_trial(value=1.0, system_attrs=dict(attributes))
    assert repr(constraints_of(attributes)) == repr({name: float(each) for name, each in trial.constraints.items()})


@pytest.mark.parametrize("odd", [5, "text", {"a": 1}, ["x", None, 1.0], [10**400], [[1]], True])
def test_what_is_no_list_of_numbers_ends_nothing(leased: LeasedStore, odd: Any) -> None:
    trials = [create_trial(value=float(number), system_attrs={"constraints": odd}) for number in range(2)]
    name = store(leased, ["minimize"], trials)
    best_of(in_memory(trials, ["minimize"]))
    with open_study_reader(leased.url) as history:
        history.trials(name).best()
        assert len(history.trials(name).heads()) == 2


@pytest.mark.parametrize("direction", [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE])
def test_the_best_of_many_that_violate(leased: LeasedStore, direction: StudyDirection) -> None:
    """More than are read at once stand before it."""
    values = [create_trial(value=float(n), system_attrs={"constraints": [30.0 - n]}) for n in range(60)]
    turned = values if direction is StudyDirection.MINIMIZE else values[::-1]
    name = store(leased, [direction.name.lower()], turned)
    with open_study_reader(leased.url) as history:
        listing = history.trials(name)
        (best,) = listing.best()
    study = optuna.load_study(study_name=name, storage=leased.url)
    assert best == study.best_trial.number
    study._storage.remove_session()
    study._storage._backend.engine.dispose()


def test_without_a_feasible_trial_there_is_no_best_and_it_is_said(leased: LeasedStore) -> None:
    from rich.console import Console

    from orchestrator.terminal.overview import render_status

    leased.store.create(make_spec(), NOW)
    with leased.database.write() as connection:
        study_id = connection.scalar(select(STUDIES.c.study_id))
        id = connection.execute(
            insert(TRIALS).values(number=0, study_id=study_id, state="COMPLETE")
        ).inserted_primary_key[0]
        connection.execute(insert(VALUES).values(trial_id=id, objective=0, value=1.0, value_type="FINITE"))
        connection.execute(insert(SYSTEM_ATTRS).values(trial_id=id, key="constraints", value_json="[0.5]"))
    with open_study_reader(leased.url) as history:
        overview = history.overview("study")
        assert history.trials("study").best() == []
        from orchestrator.terminal.why_text import explain

        assert "violates a constraint; no trial is the best" in explain(history.trial("study", "0"))
    assert overview.progress.best is None
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_status(overview, 200, NOW))
    assert "no completed trial satisfies its constraints" in capture.get()
