"""A store with its lease, and ways to look into the database past it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from orchestrator.common.settings import Settings
from orchestrator.engine.state import Snapshot
from orchestrator.model.changeset import AttemptRow, Changes, CheckpointRow, DecisionRow, NoteRow, TrialEnd
from orchestrator.spec import Spec
from orchestrator.spec.carried_code import with_bundle
from orchestrator.spec.model import validate
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tasks.code_bundle import make_bundle

NOW = 1_700_000_000.25
X = '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}'
KIND = '{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b", null]}}'


def make_spec(**changes: Any) -> Spec:
    table: dict[str, Any] = {"name": "study", "objective": "somewhere:objective", "trials": 6, "seed": 5}
    return validate(table | changes, "test")


def carrying(spec: Spec, text: bytes = b"") -> Spec:
    """Returns the spec with a code bundle of one file."""
    return with_bundle(spec, make_bundle("train:objective", [("train.py", text)]), Settings())


def attempt(trial: int, number: int = 1, **changes: Any) -> AttemptRow:
    return AttemptRow(
        **{  # type: ignore[arg-type]
            "token": f"token-{trial}-{number}",
            "trial": trial,
            "number": number,
            "state": "queued",
            "created": NOW,
            **changes,
        }
    )


def a_trial(number: int = 0, **changes: Any) -> Changes:
    """What asking for one trial stages."""
    row = attempt(number)
    return Changes(new_trials={number: NOW}, attempts={row.token: row}, **changes)


def everything() -> Changes:
    """Something of every kind, in one batch: trials of each state, with all they can have."""
    rows = [
        attempt(
            0,
            state="done",
            runner="r" * 64,
            acknowledged=2**40,
            cause="finished",
            host="höst",
            pid=2**31,
            slot="slot 1",
            device="gpu 0",
            sent=NOW + 1,
            started=NOW + 2,
            ended=NOW + 3,
            gap=0.001,
            latency=0.25,
            signal_latency=0.125,
        ),
        attempt(1, state="stopping", runner="r1", verdict="pruned", verdict_step=2**31 - 1),
        attempt(2, state="lost", ended=NOW + 4, cause="no sign of life"),
        attempt(2, 2),
        attempt(3, state="done", ended=NOW + 5),
    ]
    return Changes(
        new_trials={0: NOW, 1: NOW + 0.5, 2: NOW + 1, 3: NOW + 1},
        starts={0: NOW + 2, 1: NOW + 2.125},
        ends={
            0: TrialEnd("COMPLETE", (-0.5,), NOW + 3.000001),
            1: TrialEnd("PRUNED", (1e308,), NOW + 4),
            3: TrialEnd("FAIL", None, NOW + 5),
        },
        params=[(0, "x", 0.1, X), (0, "kind", 2, KIND), (1, "x", 5e-324, X)],
        values=[
            (0, 0, float("nan")),
            (0, 5, float("inf")),
            (0, 2, float("-inf")),
            (0, 2**31 - 1, -0.0),
            (1, 0, 1e308),
            (1, 1, 5e-324),
        ],
        user_attrs={(0, "note"): {"ä": [1, None, "😀"]}, (1, "\x7f'\";--"): "\x00 and \ud800", (0, "k" * 512): 1},
        system_attrs={(0, "ahead"): {"x": [0.5, X]}, (2, "nan"): 1.5},
        study_user_attrs={"owner": "me"},
        study_system_attrs={"rung": 3},
        attempts={row.token: row for row in rows},
        decisions=[
            DecisionRow(1, "prune", "median", 1, float("nan"), None, 0, NOW + 4),
            DecisionRow(3, "shadow", "asha", 2**31 - 1, 0.5, float("-inf"), 7, NOW + 5),
        ],
        closest={
            0: DecisionRow(0, "keep", "median", 5, 0.5, 0.25, 3, NOW + 3),
            2: DecisionRow(2, "keep", "median", 0, float("inf"), float("-inf"), 2, NOW + 4),
        },
        checkpoints=[
            CheckpointRow(2, 1, "uid/00002/token-2-1-1.pt", "d" * 64, 2**40, NOW + 3),
            CheckpointRow(2, 3, "uid/00002/token-2-1-3.pt", "e" * 64, 0, NOW + 4),
            CheckpointRow(2, 5, "uid/00002/token-2-1-5.pt", "f" * 64, 1, NOW + 4),
        ],
        discarded=[(2, "uid/00002/token-2-1-1.pt")],
        redone=[(2, 0, 0.75), (2, 0, float("nan")), (2, 1, 0.5)],
        notes=[NoteRow("uid:best:0", "best", "post", '{"ä": "😀"}', NOW + 3)],
        study_state=("paused", "because", NOW + 6),
    )


@contextlib.contextmanager
def optuna_storage(url: str, *, prepared: bool = True) -> Iterator[RDBStorage]:
    """What any other Optuna process has. On a ``prepared`` database it spends no time on looking at the tables."""
    storage = RDBStorage(url, skip_compatibility_check=prepared, skip_table_creation=prepared)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


class LeasedStore:
    """A writing store.

    Args:
        url: A prepared database.
        seconds: How long the lease lasts.
        acquire: Take the lease.
    """

    def __init__(self, url: str, seconds: float = 60.0, *, acquire: bool = True) -> None:
        self.url = url
        self._closing = ExitStack()
        self.database = Database(url)
        self._closing.callback(self.database.close)
        self.lease = WriterLease(self.database, seconds)
        self.store = Store(self.database, self.lease)
        self.orders = CommandTable(self.database)
        self._closing.callback(self.store.close)
        if acquire:
            assert self.lease.acquire() is None

    def another(self, seconds: float = 60.0) -> LeasedStore:
        """Takes the lease over: this one is the old one now."""
        made = LeasedStore(self.url, seconds)
        self._closing.callback(made.close)
        return made

    def create(self, **changes: Any) -> Snapshot:
        return self.store.create(make_spec(**changes), NOW)

    def commit(self, changes: Changes, name: str = "study") -> None:
        self.store.commit({name: changes})

    def load(self, name: str = "study") -> Snapshot:
        return self.store.load(name)

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table but the lease's, as text: NaN is NaN, and 0.0 is not -0.0."""
        with self.database.read() as connection:
            names = set(sqlalchemy.inspect(connection).get_table_names())
            names -= {"orchestrator_writer", "orchestrator_alembic_version", "alembic_version"}
            # As the driver returns them: to learn the types of all columns takes most of a second.
            return {
                name: sorted(repr(tuple(row)) for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'))
                for name in sorted(names)
            }

    def optuna_trials(self, name: str = "study") -> list[optuna.trial.FrozenTrial]:
        with optuna_storage(self.url) as storage:
            return optuna.load_study(study_name=name, storage=storage).trials

    def close(self) -> None:
        self._closing.close()
