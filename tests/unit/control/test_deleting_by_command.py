"""`delete` as the control plane applies it: what it refuses, and that rows go after files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.simulated.agenda import RING, Agenda

pytestmark = pytest.mark.usefixtures("shell")

FIRST, SECOND = "nightly-20260301T010000Z", "nightly-20260301T020000Z"


def two_runs(folder: Path) -> Agenda:
    agenda = Agenda(folder, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", report=True)
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    return agenda


def delete(agenda: Agenda, study: str, uid: str | None = None, key: str = "delete") -> None:
    """Asks for it; ``uid`` is that of the study where none is given."""
    known = agenda.studies[study].uid if study in agenda.studies else ""
    agenda.world.database.issue(key, "delete", study, {"uid": known if uid is None else uid})
    agenda.world.redis.add(RING)
    agenda.settle()


def answer(agenda: Agenda, key: str = "delete") -> str:
    (text,) = agenda.world.redis.answers[key]
    return str(json.loads(text).get("error", "deleted"))


def test_a_study_that_has_ended_goes_with_its_notices_and_its_planned_run_says_so(tmp_path: Path) -> None:
    agenda = two_runs(tmp_path)
    assert FIRST in agenda.world.redis.notices
    delete(agenda, FIRST)
    assert answer(agenda) == "deleted"
    assert agenda.names == [SECOND]
    assert agenda.world.reports.deleted == [FIRST]
    assert FIRST not in agenda.world.redis.notices
    assert [(slot.state, slot.reason) for slot in agenda.slots] == [("deleted", "deleted by hand"), ("ended", "")]


def test_a_study_that_goes_on_is_refused(tmp_path: Path) -> None:
    agenda = two_runs(tmp_path)
    agenda.working = False
    agenda.go_to("2026-03-01T03:10")
    third = "nightly-20260301T030000Z"
    delete(agenda, third)
    assert answer(agenda) == f"study '{third}': is running; 'orchestrator stop {third}' ends it; then it can be deleted"
    agenda.world.database.issue("stop", "stop", third)
    agenda.working = True
    agenda.go_to("2026-03-01T03:20")
    delete(agenda, third, key="again")
    assert answer(agenda, "again") == "deleted"


def test_the_rows_stay_until_the_files_are_gone(tmp_path: Path) -> None:
    agenda = two_runs(tmp_path)
    agenda.world.reports.idle = False
    delete(agenda, FIRST)
    assert FIRST in agenda.names
    assert not agenda.world.redis.answers["delete"]
    agenda.restart_control_plane()
    agenda.settle()
    assert FIRST in agenda.names
    agenda.world.reports.idle = True
    agenda.settle()
    assert answer(agenda) == "deleted"
    assert agenda.names == [SECOND]


def test_a_command_that_is_withdrawn_deletes_no_rows(tmp_path: Path) -> None:
    agenda = two_runs(tmp_path)
    agenda.world.reports.idle = False
    delete(agenda, FIRST)
    agenda.world.database.commands = [each for each in agenda.world.database.commands if each.key != "delete"]
    agenda.world.reports.idle = True
    agenda.settle()
    assert FIRST in agenda.names


def test_a_later_study_of_that_name_is_left_alone(tmp_path: Path) -> None:
    agenda = two_runs(tmp_path)
    delete(agenda, FIRST, "another")
    assert answer(agenda) == f"study '{FIRST}': is not the one that was to be deleted: that one is gone"
    delete(agenda, "nix", "another", key="nix")
    assert "that one is gone" in answer(agenda, "nix")
    assert agenda.names == [FIRST, SECOND]
