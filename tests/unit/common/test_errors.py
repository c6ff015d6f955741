"""Errors go through a pool of processes, which pickles them, as they are; on a terminal they are one line."""

from __future__ import annotations

import copy
import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.api.connection import UnknownStudy
from orchestrator.cli.program import cli, main
from orchestrator.common.errors import BadInput, OrchestratorError, ServerTrouble, StudyFailed
from orchestrator.common.file_lock import FolderInUse
from orchestrator.local.data_folder_check import DataDeleted

MADE = (
    BadInput("trials", "is 0", "it must be at least 1"),
    UnknownStudy("study 'a'", "there is none"),
    FolderInUse(Path("data"), 17),
    ServerTrouble("the database refuses this client", 2),
    StudyFailed("it failed"),
    DataDeleted(Path("data")),
)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_is_made_again(
    error: OrchestratorError, again: Callable[[OrchestratorError], OrchestratorError]
) -> None:
    made = again(error)
    assert type(made) is type(error)
    assert (str(made), made.args, vars(made)) == (str(error), error.args, vars(error))


def test_what_was_given_is_shown_and_not_obeyed() -> None:
    error = BadInput("study '\x1b[31mred\n'", "is\x9b2J \u202e no study", "name\tanother")
    assert str(error) == "study '�[31mred ': is�2J � no study; name another"


def test_a_command_that_ctrl_c_ends_says_the_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.commands["completion"], "callback", lambda **_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        main(["completion", "bash"])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "orchestrator: interrupted"
