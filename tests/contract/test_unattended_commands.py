"""Each command that steers, at each state of a study that no control plane looks after: it works, or says why not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from every_command import invoke
from leased_store import NOW, LeasedStore, attempt, make_spec, optuna_storage

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import load_settings
from orchestrator.control import unattended
from orchestrator.messaging.command_client import NoAnswer
from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.model.suspension import Suspension
from orchestrator.queries.readonly import open_study_reader

GOES_ON = ("running", "paused", "interrupted", "ending")
ENDED = ("finished", "failed", "stopped")
STORED = "stored: 'orchestrator run' begins with it when it goes on with the study"

COMMANDS = {
    "pause": ("pause", "study"),
    "stop": ("stop", "study"),
    "enqueue": ("enqueue", "study", "x=0.5"),
    "retry": ("retry", "study", "0"),
    "resume": ("resume", "study"),
}

EXPECTED: dict[tuple[str, str], str] = {
    **{("pause", state): "paused" for state in GOES_ON},
    **{("stop", state): "stopped" for state in GOES_ON},
    **{(command, state): STORED for command in ("enqueue", "retry") for state in (*GOES_ON, *ENDED, "suspended")},
    **{
        (command, state): f"study 'study': is {state} already; "
        for command in ("pause", "stop", "resume")
        for state in ENDED
    },
    ("pause", "suspended"): "study 'study': is suspended: a cause; ",
    ("stop", "suspended"): "stopped",
    **{
        (command, "optuna"): "study 'study': was made by Optuna and never run by this program; " for command in COMMANDS
    },
    **{(command, "none"): "study 'study': there is none of that name" for command in COMMANDS},
}


@pytest.fixture
def stored(leased: LeasedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], LeasedStore]:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", leased.url)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ORCHESTRATOR_REDIS_URL", raising=False)

    def make(state: str) -> LeasedStore:
        if state == "optuna":
            with optuna_storage(leased.url) as storage:
                optuna.create_study(study_name="study", storage=storage)
        elif state != "none":
            leased.create()
            leased.commit(trials(state))
            if state == "suspended":
                leased.store.suspend("study", Suspension("a cause", NOW))
        leased.lease.release()
        return leased

    return make


def trials(state: str) -> Changes:
    """One that has ended, one whose process was killed, one that waited for a slot."""
    gone = {"host": "", "pid": 1, "runner": "r" * 64}
    rows = [
        attempt(0, state="done", cause="finished", started=NOW, ended=NOW + 1),
        attempt(1, state="running", started=NOW, **gone),
        attempt(2, state="sent", sent=NOW),
    ]
    moved = None if state in ("running", "suspended") else (state, "", NOW)
    return Changes(
        new_trials={0: NOW, 1: NOW, 2: NOW},
        starts={0: NOW, 1: NOW, 2: NOW},
        ends={0: TrialEnd("COMPLETE", (0.5,), NOW + 1)},
        attempts={row.token: row for row in rows},
        study_state=moved,
    )


@pytest.mark.parametrize(("command", "state"), EXPECTED)
def test_each_command_at_each_state(command: str, state: str, stored: Callable[[str], LeasedStore]) -> None:
    made = stored(state)
    done = invoke(*COMMANDS[command])
    text = str(done.exception) if isinstance(done.exception, BadInput) else done.output
    assert EXPECTED[command, state] in text
    assert "\n" not in text.strip()
    if EXPECTED[command, state] in ("paused", "stopped"):
        assert made.store.state("study") == EXPECTED[command, state]
        assert not made.store.suspended()


def test_what_is_stopped_was_never_begun_or_is_over(stored: Callable[[str], LeasedStore]) -> None:
    made = stored("interrupted")
    assert invoke("stop", "study").output == "stopped\n"
    assert [trial.state.name for trial in made.optuna_trials()] == ["COMPLETE", "FAIL", "WAITING"]
    with open_study_reader(made.url) as reader:
        assert reader.overview("study").progress.state == "stopped"
    assert made.store.pending_commands() == []


def test_an_active_control_plane_is_asked_and_a_command_that_it_does_not_answer_is_withdrawn(
    stored: Callable[[str], LeasedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stored("interrupted")
    with closing(LeasedStore(made.url)) as busy:
        monkeypatch.setattr("orchestrator.storage.lease.process_name", lambda: "elsewhere:1:1")
        with pytest.raises(NoAnswer, match=r"did not answer within 0\.1 s, and the command is withdrawn; try again"):
            unattended.steer_unattended(load_settings(), "study", "stop", 0.1)
        assert busy.store.pending_commands() == []
        assert busy.store.state("study") == "interrupted"


def test_a_run_interrupts_what_a_person_has_not_paused(leased: LeasedStore) -> None:
    leased.create()

    def steer(operation: str) -> Any:
        return unattended.steer_stored(leased.store, "study", operation, time.time())

    assert [steer(each) for each in ("interrupt", "pause", "interrupt", "stop", "pause")] == [
        "interrupted",
        "paused",
        "paused",
        "stopped",
        "stopped",
    ]
    leased.store.create(make_spec(name="other"), NOW)
    leased.store.suspend("other", Suspension("a cause", NOW))
    with pytest.raises(BadInput, match="is suspended: a cause"):
        unattended.steer_stored(leased.store, "other", "interrupt", NOW)
