"""The notifications that settings allow and specs may ask for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from notifying import Settled, a_command, notifying

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import load_settings
from orchestrator.model.changeset import NoteRow
from orchestrator.model.notifications import PendingNotification
from orchestrator.notify.policy import Policy, policy_of
from orchestrator.spec.model import validate
from orchestrator.spec.notify import NotifyTable
from tests.webhook_server import webhook_server


def test_commands_are_run_where_that_is_said() -> None:
    for policy, runs in ((Policy(), False), (Policy(commands_of="s"), True), (Policy(commands_of="t"), False)):
        with notifying(policy, {"PATH": "/usr/bin:/bin"}) as notifier:
            notifier.owe([a_command("true")])
            found = Settled(notifier).last("uid:1:command")
            assert found.state == ("delivered" if runs else "failed")
            assert runs or "runs no commands" in found.detail


def spec(**notify: Any) -> Any:
    return validate({"name": "s", "objective": "m:f", "trials": 1, "notify": notify}, "test")


def test_a_spec_whose_notifications_are_not_allowed_is_refused() -> None:
    Policy().check(spec(url="https://h/x"))
    Policy(urls={"team": "https://h/x"}).check(spec(endpoint="team"))
    Policy(commands_of="s").check(spec(command=["x"]))
    for policy, notify, words in (
        (
            Policy(),
            {"command": ["x"]},
            "notify.command: this control plane runs no commands of specs; remove it, or set",
        ),
        (Policy(), {"endpoint": "team"}, "knows no endpoint 'team'; name it in ORCHESTRATOR_NOTIFY_URLS"),
        (Policy(urls={"team": "u"}), {"endpoint": "teem"}, "knows no endpoint 'teem'; did you mean 'team'?"),
    ):
        with pytest.raises(BadInput) as caught:
            policy.check(spec(**notify))
        assert words in str(caught.value)


def test_an_endpoint_is_found_by_its_name() -> None:
    with webhook_server() as it, notifying(Policy(urls={"team": it.url})) as notifier:
        settled = Settled(notifier)
        for endpoint in ("team", "gone"):
            note = NoteRow(endpoint, "finished", "post", "{}", time.time())
            notifier.owe([PendingNotification("s", note, NotifyTable(endpoint=endpoint))])
        assert settled.last("team").state == "delivered"
        assert settled.last("gone")[:3] == ("failed", 1, "there is no endpoint 'gone'")


def settings(**variables: str) -> Policy:
    return policy_of(load_settings({f"ORCHESTRATOR_NOTIFY_{name}": value for name, value in variables.items()}))


def test_the_settings_say_what_is_allowed(tmp_path: Path) -> None:
    assert settings() == Policy()
    found = settings(URLS="team=https://h/a?b=c  ops=http://i/", KEY="k", COMMANDS="1")
    assert found == Policy({"team": "https://h/a?b=c", "ops": "http://i/"}, "k", commands=True)
    file, key = tmp_path / "urls", tmp_path / "key"
    file.write_text("# who is told\nteam=https://h/hush\n\n  # and\n ops=https://h/hush\n")
    key.write_text("hush\n")
    found = settings(URLS_FILE=str(file), KEY_FILE=str(key), COMMANDS="0")
    assert (sorted(found.urls), found.key, found.commands) == (["ops", "team"], "hush", False)
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"URLS": "https://h/hush"}, "NOTIFY_URLS: holds a word that is not name=url; write team=https://"),
        ({"URLS": "https://h/hush?a=b"}, "NOTIFY_URLS: holds a word that is not name=url"),
        ({"URLS": "team = https://h/hush"}, "NOTIFY_URLS: holds a word that is not name=url"),
        ({"URLS": "team=h/hush"}, "NOTIFY_URLS: 'team' is not a URL of http or https"),
        ({"URLS": "a=https://h/hush a=https://h/hush"}, "NOTIFY_URLS: names 'a' twice"),
        ({"URLS": "é=https://h/hush"}, "NOTIFY_URLS: cannot be 'é'"),
        ({"URLS_FILE": "/nowhere"}, "NOTIFY_URLS_FILE: cannot be read: No such file"),
        ({"KEY": "hush", "KEY_FILE": "/nowhere"}, "NOTIFY_KEY_FILE: stands beside ORCHESTRATOR_NOTIFY_KEY"),
        ({"COMMANDS": "perhaps"}, "NOTIFY_COMMANDS: is 'perhaps'; it must be 1 or 0"),
    ],
)
def test_settings_that_are_wrong_are_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        settings(**variables)
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)
