"""A whole study read in one transaction is what Optuna's own code reads, and what was written of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from leased_store import LeasedStore, everything

from orchestrator.queries.readonly import open_study_reader

ZONES = ("UTC0", "JST-9", "NST3:30NDT,M3.2.0,M11.1.0", "<+1345>-13:45")
"""As POSIX spells them, for a machine may know no other names."""


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_it_is_what_optuna_reads_and_what_was_written(leased: LeasedStore) -> None:
    made = leased.create(max_steps=27, pruner={"name": "median"})
    written = everything()
    leased.commit(written)
    with open_study_reader(leased.url) as history:
        found = history.load("study")
    snapshot = found.snapshot
    for ours, theirs in zip(snapshot.trials, leased.optuna_trials(), strict=True):
        for name in ("number", "state", "values", "datetime_start", "datetime_complete", "params", "distributions"):
            assert repr(getattr(ours, name)) == repr(getattr(theirs, name)), (ours.number, name)
        for name in ("user_attrs", "system_attrs", "intermediate_values"):
            assert repr(sorted(getattr(ours, name).items())) == repr(sorted(getattr(theirs, name).items()))
    assert (snapshot.spec, snapshot.uid, snapshot.seed) == (made.spec, made.uid, made.seed)
    assert (snapshot.state, snapshot.reason) == ("paused", "because")
    assert {row.token: row for row in snapshot.attempts} == written.attempts
    discarded = {location for _, location in written.discarded}
    assert snapshot.checkpoints == [row for row in written.checkpoints if row.location not in discarded]
    assert snapshot.study_system_attrs == written.study_system_attrs
    assert repr(snapshot.closest) == repr(list(written.closest.values()))
    assert [(row.trial, row.action) for row in found.decisions] == [(1, "prune"), (3, "shadow")]
    assert found.redone == 2
