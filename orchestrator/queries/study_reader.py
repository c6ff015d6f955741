"""Reads what is stored of studies and trials, in the caller's read-only transaction."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Table, func, select

from orchestrator.common.errors import BadInput
from orchestrator.model.attribute_keys import FAILURE, MEASURED, RETRY_OF, SOURCE
from orchestrator.model.changeset import AttemptRow, DecisionRow
from orchestrator.model.measurements import read_measured
from orchestrator.model.planned_run import PlannedRun, ScheduleProgress
from orchestrator.model.progress_events import TrialEnded
from orchestrator.model.records import RecordedTrial, Recording, StudyFacts, TrialFacts
from orchestrator.model.study_status import Overview
from orchestrator.pruning import Decision, Direction, expectations
from orchestrator.pruning.expectations import EXPECTED
from orchestrator.queries.attendance import is_attended, is_led, with_absences
from orchestrator.queries.leading import leader
from orchestrator.queries.name_lookup import BEST, find_number, find_study, unknown_study
from orchestrator.queries.progress_queries import read_ended, read_optunas, read_overviews
from orchestrator.queries.stored_models import StoredModel, read_models
from orchestrator.queries.study_contents import StudyContents, read_contents
from orchestrator.queries.study_cost import Cost, read_cost
from orchestrator.queries.trial_queries import StudyTrials
from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.best_trial_queries import read_constraints
from orchestrator.storage.code_table import KeptCode, read_code
from orchestrator.storage.optuna_decoding import final_value, read_params, read_values, seconds
from orchestrator.storage.optuna_tables import (
    DIRECTIONS,
    STEPS,
    SYSTEM_ATTRS,
    TRIALS,
    USER_ATTRS,
    VALUES,
    from_stored,
    study_id_of,
)
from orchestrator.storage.schedule_store import read_known, read_slots

if TYPE_CHECKING:
    from orchestrator.pruning.pausing import PausingRule
    from orchestrator.storage.study_loader import LoadedStudy

_OF_A_REPORT = ("keep", "prune", "audit", "shadow")
"""Actions of decisions that were made the moment a report was recorded; the others came later."""


class StudyReader:
    """Reads studies from one database.

    Args:
        connection: A transaction.
        ours: Whether the database has this program's tables beside Optuna's.
    """

    def __init__(self, connection: Connection, ours: bool) -> None:
        self._connection = connection
        self._ours = ours

    def spec(self, name: str) -> Spec:
        """Reads the search that a study is.

        Raises:
            BadInput: no such study, or one of Optuna's alone.
        """
        _, study = self._study(name)
        if study.spec is None:
            raise BadInput(
                f"study '{name}'",
                "was made by Optuna and never run by this program",
                "a spec of that name, run or submitted, takes it up; "
                "status, trials, why, replay, report and export show it as it is",
            )
        return Spec.from_json(study.spec)

    def is_led(self) -> bool:
        """Returns whether a control plane is active."""
        return self._ours and is_led(self._connection)

    def overviews(self) -> list[Overview]:
        """Returns where each study stands, those first that only Optuna has run."""
        theirs = read_optunas(self._connection, self._studies)
        return theirs + (with_absences(self._connection, read_overviews(self._connection)) if self._ours else [])

    def overview(self, name: str, *, rungs: bool = False) -> Overview:
        """Returns where one study stands; also of one that Optuna made. Its ``rungs`` cost a look at all reports.

        Raises:
            BadInput: no such study.
        """
        study_id, study = self._study(name)
        if study.spec is None:
            return read_optunas(self._connection, self._studies, name)[0]
        (found,) = with_absences(self._connection, read_overviews(self._connection, [name]))
        return self._with_rungs(found, study_id, study) if rungs else found

    @property
    def _studies(self) -> Table | None:
        """The table of our studies, where there is one."""
        return own_tables.studies if self._ours else None

    def slots(self, schedule: str, most: int) -> list[tuple[PlannedRun, Overview | None]]:
        """Returns a schedule's last slots, the latest first, each with where its study stands, where there is one."""
        found = read_slots(self._connection, schedule, most) if self._ours else []
        if not found:
            return []
        overviews = read_overviews(self._connection, [slot.study for slot in found])
        studies = {each.progress.study: each for each in with_absences(self._connection, overviews)}
        return [(slot, studies.get(slot.study)) for slot in found]

    def schedules(self, names: Iterable[str]) -> dict[str, ScheduleProgress]:
        """Returns what is known of schedules, by name."""
        return read_known(self._connection, names) if self._ours else {}

    def ended(self, name: str, most: int) -> list[TrialEnded]:
        """Returns the trials of a study that ended last, at most so many, oldest first."""
        return read_ended(self._connection, name, most)

    def trial(self, name: str, text: str) -> TrialFacts:
        """Reads one trial; also of a study that Optuna made.

        Raises:
            BadInput: no such study, or ``text`` is no number of a trial of it, nor ``best`` or ``last``.
        """
        study_id, study = self._study(name)
        found = self._find_trial(study_id, study, text)
        number = int(found.number)
        plain = TrialFacts(
            study=study,
            number=number,
            state=found.state,
            values=read_values(self._connection, found.trial_id),
            params=read_params(self._connection, found.trial_id),
            steps={step: value for _, step, value in self._reports(STEPS.c.trial_id == found.trial_id)},
            leads=text == BEST and found.state != "COMPLETE",
        )
        if study.spec is None:
            return plain
        columns = own_tables.attempts.c
        query = select(*own_tables.ATTEMPT_COLUMNS).where(columns.study_id == study_id, columns.trial == number)
        attempts = [AttemptRow(*row) for row in self._connection.execute(query.order_by(columns.number))]
        closest = [
            _decision(row) for row in self._of_trial(own_tables.closest, study_id, number, own_tables.closest.c.id)
        ]
        failure = self._connection.scalar(
            select(USER_ATTRS.c.value_json).where(USER_ATTRS.c.trial_id == found.trial_id, USER_ATTRS.c.key == FAILURE)
        )
        kept = {
            row.key: row.value_json
            for row in self._connection.execute(
                select(SYSTEM_ATTRS.c.key, SYSTEM_ATTRS.c.value_json).where(
                    SYSTEM_ATTRS.c.trial_id == found.trial_id, SYSTEM_ATTRS.c.key.in_([MEASURED, EXPECTED])
                )
            )
        }
        sources = self._attribute(study_id, SOURCE)
        retries = self._attribute(study_id, RETRY_OF)
        redone = select(func.count(own_tables.redone.c.step.distinct())).where(
            own_tables.redone.c.study_id == study_id, own_tables.redone.c.trial == number
        )
        return replace(
            plain,
            failure=cause if isinstance(cause := json.loads(failure or "{}"), dict) else {},
            decisions=[
                _decision(row)
                for row in self._of_trial(own_tables.decisions, study_id, number, own_tables.decisions.c.id)
            ],
            closest=closest[0] if closest else None,
            attempts=attempts,
            redone=self._connection.scalar(redone) or 0,
            standing=self._standing(study_id, study, number) if attempts and attempts[-1].state == "paused" else None,
            source=str(sources.get(number, "")),
            first_source=next(((first, str(digest)) for first, digest in sources.items()), None),
            retry_of=retries.get(number),
            retries=[each for each, old in retries.items() if old == number],
            measured=read_measured(kept.get(MEASURED)),
            expectations=expectations.read({EXPECTED: json.loads(kept.get(EXPECTED, "[]"))}),
        )

    def study_id(self, name: str) -> int:
        """Returns Optuna's id of a study; raises BadInput where there is no such study."""
        return find_study(self._connection, name)

    def models(self, name: str) -> list[StoredModel]:
        """Returns the models that trials of a study have stored; raises BadInput where there is no such study."""
        return read_models(self._connection, name, self.study_id(name))

    def is_ours(self, name: str) -> bool:
        """Whether this program has run a study; raises BadInput where there is no such study."""
        return self._study(name)[1].spec is not None

    def cost(self, name: str, now: float) -> Cost | None:
        """Returns what a study has cost until ``now``, in seconds since the epoch; ``None`` where only Optuna has run
        it. Raises BadInput where there is no such study."""
        return read_cost(self._connection, self.study_id(name), now) if self.is_ours(name) else None

    def promotes(self, name: str) -> bool:
        """Whether a study pauses trials at rungs and promotes them; raises BadInput where there is no such study."""
        _, study = self._study(name)
        return study.spec is not None and Spec.from_json(study.spec).pruner.promotes

    def contents(self, name: str) -> StudyContents:
        """Returns what a study holds; raises BadInput where there is no such study."""
        state = self.overview(name).progress.state
        return read_contents(self._connection, name, self.study_id(name), state, self._ours)

    def code(self, name: str) -> list[KeptCode]:
        """Returns the code bundles of a study, the oldest first; raises BadInput where there is no such study."""
        find_study(self._connection, name)
        return read_code(self._connection, name) if self._ours else []

    def trials(self, name: str) -> StudyTrials:
        """Returns the trials of a study, to be read row by row; also of one that Optuna made.

        Raises:
            BadInput: no such study.
        """
        study_id, study = self._study(name)
        directions = [each.lower() for each in self._directions(study_id)]
        return StudyTrials(self._connection, study_id, directions, self._ours, study)

    def load(self, name: str) -> LoadedStudy:
        """Reads a study with everything that is stored of it; also of one that Optuna made.

        Raises:
            BadInput: no such study.
        """
        # All that Optuna and the core are made of, which no other look needs.
        from orchestrator.storage.study_loader import load_optunas_study, load_study

        study_id, study = self._study(name)
        if study.spec is None:
            directions = [each.lower() for each in self._directions(study_id)]
            return load_optunas_study(self._connection, study_id, name, directions)
        return load_study(self._connection, study_id)

    def recording(self, name: str) -> Recording:
        """Reads a study's whole history; also of one that Optuna made.

        Raises:
            BadInput: no such study, or it has several objectives.
        """
        study_id, study = self._study(name)
        if study.objectives > 1:
            problem = f"has {study.objectives} objectives"
            raise BadInput(f"study '{name}'", problem, "rules judge trials by a single one")
        return self._recording(study_id, study)

    def _recording(self, study_id: int, study: StudyFacts) -> Recording:
        trials = {
            row.number: RecordedTrial(
                row.state,
                final_value(row.value, row.value_type),
                seconds(row.datetime_start),
                seconds(row.datetime_complete),
            )
            for row in self._connection.execute(
                _select_trials().where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number)
            )
        }
        moments: dict[tuple[int, int], float] = {}
        for table in (own_tables.decisions, own_tables.closest) if self._ours else ():
            query = select(table.c.trial, table.c.step, table.c.at).where(
                table.c.study_id == study_id, table.c.action.in_(_OF_A_REPORT)
            )
            moments |= {(row.trial, row.step): row.at for row in self._connection.execute(query)}
        return Recording(study, trials, self._reports(TRIALS.c.study_id == study_id), moments)

    def missing(self, name: str) -> BadInput | None:
        """Returns the error about a study that is not there; ``None`` for one that is."""
        return None if study_id_of(self._connection, name) is not None else unknown_study(self._connection, name)

    def _study(self, name: str) -> tuple[int, StudyFacts]:
        study_id = find_study(self._connection, name)
        found = self._directions(study_id)
        direction: Direction = "maximize" if found[0] == "MAXIMIZE" else "minimize"
        row = None
        if self._ours:
            query = select(own_tables.studies).where(own_tables.studies.c.study_id == study_id)
            row = self._connection.execute(query).one_or_none()
        completed = _select_trials().where(TRIALS.c.study_id == study_id, TRIALS.c.state == "COMPLETE")
        trials = self._connection.scalar(select(func.count()).select_from(TRIALS).where(TRIALS.c.study_id == study_id))
        return study_id, StudyFacts(
            name=name,
            direction=direction,
            spec=None if row is None else json.loads(row.spec),
            state="" if row is None else row.state,
            reason="" if row is None else row.reason,
            trials=trials or 0,
            completed={
                each.number: value
                for each in self._connection.execute(completed)
                if (value := final_value(each.value, each.value_type)) is not None and len(found) == 1
            },
            objectives=len(found),
            constraints=self._constraints(study_id),
            attended=row is None or is_attended(self._connection, name, row.state),
        )

    def _constraints(self, study_id: int) -> dict[int, list[float]]:
        """Returns the constraints of the trials that have any, by number."""
        if not (found := read_constraints(self._connection, study_id)):
            return {}
        query = select(TRIALS.c.trial_id, TRIALS.c.number).where(TRIALS.c.study_id == study_id)
        return {row.number: found[row.trial_id] for row in self._connection.execute(query) if row.trial_id in found}

    def _directions(self, study_id: int) -> list[str]:
        query = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study_id)
        return list(self._connection.scalars(query.order_by(DIRECTIONS.c.objective)))

    def _attribute(self, study_id: int, key: str) -> dict[int, Any]:
        """Returns one user attribute of all trials that have it, by number."""
        query = (
            select(TRIALS.c.number, USER_ATTRS.c.value_json)
            .join(USER_ATTRS, USER_ATTRS.c.trial_id == TRIALS.c.trial_id)
            .where(TRIALS.c.study_id == study_id, USER_ATTRS.c.key == key)
            .order_by(TRIALS.c.number)
        )
        return {row.number: json.loads(row.value_json) for row in self._connection.execute(query)}

    def _find_trial(self, study_id: int, study: StudyFacts, text: str) -> Any:
        def best() -> list[int]:
            listing = self.trials(study.name)
            if found := listing.best():
                return found
            return [each.head.number for each in leader(listing, promotes=self.promotes(study.name))]

        number = find_number(self._connection, study_id, study, text, best)
        query = _select_trials().where(TRIALS.c.study_id == study_id, TRIALS.c.number == number)
        return self._connection.execute(query).one()

    def _of_trial(self, table: Table, study_id: int, number: int, order: Any) -> list[Mapping[str, Any]]:
        query = select(table).where(table.c.study_id == study_id, table.c.trial == number).order_by(order)
        return [cast(Mapping[str, Any], row) for row in self._connection.execute(query).mappings()]

    def _reports(self, which: Any) -> list[tuple[int, int, float]]:
        """Returns reports in the order of their recording, which is that of their ids: one writer writes them all."""
        query = (
            select(TRIALS.c.number, STEPS.c.step, STEPS.c.intermediate_value, STEPS.c.intermediate_value_type)
            .join(TRIALS, TRIALS.c.trial_id == STEPS.c.trial_id)
            .where(which)
            .order_by(STEPS.c.trial_intermediate_value_id)
        )
        rows = self._connection.execute(query)
        return [(number, step, from_stored(value, kind)) for number, step, value, kind in rows]

    def _standing(self, study_id: int, study: StudyFacts, number: int) -> Decision | None:
        rule = self._rule(study_id, study)
        return None if rule is None else rule.standing(number)

    def _with_rungs(self, overview: Overview, study_id: int, study: StudyFacts) -> Overview:
        """Returns the study with its rungs, for which its rule is made anew of all reports."""
        rule = self._rule(study_id, study) if overview.progress.promotes else None
        if rule is None:
            return overview
        from orchestrator.sampling.rules import rung_lines

        progress = overview.progress
        rest = rule.rest(progress.budget)
        return replace(overview, progress=msgspec.structs.replace(progress, rungs=rung_lines(rule), rest=rest))

    def _rule(self, study_id: int, study: StudyFacts) -> PausingRule | None:
        from orchestrator.queries.rung_rank import read_rule

        return read_rule(self._connection, study_id, self._recording(study_id, study))


def _select_trials() -> Any:
    return select(
        TRIALS.c.trial_id,
        TRIALS.c.number,
        TRIALS.c.state,
        TRIALS.c.datetime_start,
        TRIALS.c.datetime_complete,
        VALUES.c.value,
        VALUES.c.value_type,
    ).outerjoin(VALUES, sqlalchemy.and_(VALUES.c.trial_id == TRIALS.c.trial_id, VALUES.c.objective == 0))


def _decision(row: Mapping[str, Any]) -> DecisionRow:
    found = {key: row[key] for key in DecisionRow._fields}
    # A NaN is stored as null.
    return DecisionRow(**found | {"value": math.nan if found["value"] is None else found["value"]})
