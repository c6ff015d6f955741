"""Optuna's tables, as its own models define them."""

from __future__ import annotations

from typing import Final

from optuna.storages._rdb import models
from sqlalchemy import Connection, Table, delete, select

STUDIES: Final[Table] = models.StudyModel.__table__
DIRECTIONS: Final[Table] = models.StudyDirectionModel.__table__
STUDY_USER_ATTRS: Final[Table] = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM_ATTRS: Final[Table] = models.StudySystemAttributeModel.__table__
TRIALS: Final[Table] = models.TrialModel.__table__
PARAMS: Final[Table] = models.TrialParamModel.__table__
VALUES: Final[Table] = models.TrialValueModel.__table__
STEPS: Final[Table] = models.TrialIntermediateValueModel.__table__
USER_ATTRS: Final[Table] = models.TrialUserAttributeModel.__table__
SYSTEM_ATTRS: Final[Table] = models.TrialSystemAttributeModel.__table__


def delete_study(connection: Connection, study_id: int) -> None:
    """Deletes a study with everything that Optuna keeps of it, without reading it first, as Optuna would."""
    trials = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    # What refers to others comes before them.
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        if "study_id" in table.c:
            connection.execute(delete(table).where(table.c.study_id == study_id))
        elif "trial_id" in table.c:
            connection.execute(delete(table).where(table.c.trial_id.in_(trials)))
