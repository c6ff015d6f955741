"""The end of a `run` by signals: what the second one ends, beside its processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.common.settings import load_settings
from orchestrator.common.signals import handled_endings
from orchestrator.common.slot_options import SlotOptions
from orchestrator.local import interruption
from orchestrator.local.interruption import Endings, Interrupted, hold
from orchestrator.local.plan import Plan
from orchestrator.messaging.command_client import CommandClient
from orchestrator.spec import parse
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from tests import prepared_databases

SPEC = 'name = "one"\nobjective = "tasks.objectives.digits:objective"\ntrials = 3'


class Child:
    """A process that counts how often it was killed."""

    kills = 0

    def kill(self) -> None:
        self.kills += 1


class View:
    """Sends the second Ctrl-C when it is told that the search stops."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)
        os.kill(os.getpid(), signal.SIGINT)

    def show(self, *_: object) -> None:
        raise AssertionError("there is nothing more to show")


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[CommandClient]:
    """Issues commands that no control plane answers."""
    with closing(Database(prepared_databases.sqlite(tmp_path / "studies.db"))) as database:
        yield CommandClient(CommandTable(database), None)


def test_a_second_ctrl_c_waits_for_no_answer(issuer: CommandClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "ANSWER_SECONDS", float("inf"))
    plan = Plan(parse(SPEC, "one"), "one", SlotOptions(), load_settings({}), {}, None)
    child: Any = Child()
    view: Any = View()
    endings = Endings(ends_process=False)
    endings.children.append(child)
    with handled_endings(endings):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            endings.check()
        assert child.kills == 0
        with pytest.raises(Interrupted) as caught:
            hold(plan, view, issuer, "sqlite://", endings)
    assert caught.value.signum == signal.SIGINT
    assert view.said == ["stopping; the same call goes on from here"]
    assert child.kills == 1


def test_a_terminal_that_is_closed_asks_once() -> None:
    endings = Endings(ends_process=True)
    with handled_endings(endings):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        endings.check_at_once()
        with pytest.raises(Interrupted):
            endings.check()
