"""[notify]: what it takes, in which words it refuses, and that what may be a secret is shown nowhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_text import BASE, made, refusal

from orchestrator.common.errors import BadInput
from orchestrator.report.page import spec_json
from orchestrator.spec import Spec, differences
from orchestrator.spec.notify import NotifyTable, redact_webhook

SECRET = "https://hooks.example.org:8443/services/T0/B0/hush-hush"


def test_nothing_is_told_unless_it_is_wanted() -> None:
    assert made().notify == NotifyTable()
    assert not made().notify.posts
    assert made("[notify]").notify == NotifyTable()


def test_what_it_takes() -> None:
    notify = made(f'[notify]\nurl = "{SECRET}"\non = ["best", "failed"]\ncommand = ["sh", "-c", ""]').notify
    assert (notify.url, notify.on, notify.command) == (SECRET, ("best", "failed"), ("sh", "-c", ""))
    assert made("[notify]\nendpoint = 'team'").notify.on == ("finished", "failed")
    assert made("[notify]\ncommand = ['x']").notify.command == ("x",)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("url = 3", ("notify.url: is an integer (3)", "must be a string")),
        ("url = ''", ("notify.url: is not a URL of http or https", "https://host/path")),
        ("url = 'hooks.example.org/hush'", ("notify.url: is not a URL of http",)),
        ("url = 'ftp://h/hush'", ("notify.url: is not a URL of http",)),
        ("url = 'file:///hush'", ("notify.url: is not a URL of http",)),
        ("url = 'https:///hush'", ("notify.url: is not a URL of http",)),
        ("url = 'https://h:0/hush'", ("notify.url: is not a URL of http",)),
        ("url = 'https://h:x/hush'", ("notify.url: is not a URL",)),
        ("url = 'https://[h/hush'", ("notify.url: is not a URL",)),
        ("url = 'https://me:hush@h/'", ("notify.url: holds a user or a password",)),
        ("url = 'https://h/hush hush'", ("notify.url: contains blanks", "percent-encode")),
        ('url = "https://h/hush\\nhush"', ("notify.url: contains blanks",)),
        ("url = 'https://h/hushü'", ("notify.url: contains blanks, or characters",)),
        (f"url = 'https://h/{'hush' * 600}'", ("notify.url: has 2410 characters",)),
        ("webhook = 'https://h/hush'", ("notify.webhook: unknown key", "known: command, endpoint, on, url")),
        ("urls = 'https://h/hush'", ("notify.urls: unknown key", "did you mean 'url'?")),
        ("url = ['https://h/hush']", ("notify.url: is an array (1 entry)",)),
        ("endpoint = 'https://h/hush'", ("notify.endpoint: is a URL", "'url' is for")),
        ("endpoint = 'a b'", ("notify.endpoint: cannot be 'a b'",)),
        ("url = 'https://h/hush'\nendpoint = 'team'", ("notify.endpoint: stands beside 'url'",)),
        ("url = 'https://h/hush'\non = 'best'", ("notify.on: is a string", "must be an array")),
        ("url = 'https://h/hush'\non = []", ("notify.on: is empty", "finished, failed or best")),
        ("url = 'https://h/hush'\non = ['finshed']", ("notify.on[0]: is 'finshed'", "did you mean 'finished'?")),
        ("url = 'https://h/hush'\non = ['best', 'best']", ("notify.on: names an event twice",)),
        ("on = ['best']", ("notify.on: names events, and there is no URL",)),
        ("command = 'rm -rf hush'", ("notify.command: is a string", '["sh", "-c", "…"]')),
        ("command = [3]", ("notify.command[0]: is an integer (3)",)),
        ("command = ['', 'hush']", ("notify.command: begins with an empty word",)),
        ('command = ["a", "\\u0000"]', ("notify.command[1]: contains a NUL",)),
        (f"command = {['x'] * 101}", ("notify.command: has more than 100 words",)),
    ],
)
def test_refused(text: str, pieces: tuple[str, ...]) -> None:
    message = refusal(f"{BASE}[notify]\n{text}\n")
    for piece in pieces:
        assert piece in message
    assert "hush" not in message


def test_no_trial_is_the_best_of_several_objectives() -> None:
    text = f"{BASE}directions = ['minimize', 'maximize']\n[notify]\nurl = '{SECRET}'\non = ['best']\n"
    message = refusal(text)
    assert "notify.on: names 'best', and with several objectives no trial is the best" in message


def test_it_is_stored_whole_and_shown_without_its_secret() -> None:
    spec = made(f'[notify]\nurl = "{SECRET}"')
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    shown = spec.shown()
    assert shown["notify"]["url"] == "https://hooks.example.org:8443/***"
    assert {**shown, "notify": None} == {**spec.to_json(), "notify": None}
    for text in (json.dumps(shown), repr(spec), str(spec), spec_json(spec), spec.notify.shown()):
        assert "hush" not in text
    # What is shown can be read again, as a recording of inputs is.
    Spec.from_json(shown)


def test_whom_one_tells_makes_no_other_search() -> None:
    assert differences(made(), made(f'[notify]\nurl = "{SECRET}"')) == []


@given(st.text("hush/?#=&%.@:[] é\n", max_size=30))
def test_any_path_is_taken_or_refused_without_being_shown(path: str) -> None:
    url = f"https://host/S3{path}3S"
    try:
        shown = made(f"[notify]\nurl = {json.dumps(url)}").notify.shown()
    except BadInput as error:
        shown = str(error)
    else:
        assert shown == "https://host/***"
    assert "S3" not in shown
    assert "3S" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h", "http://h"),
        ("http://h/", "http://h/"),
        ("http://h//", "http://h/***"),
        ("http://h:8/a?b#c", "http://h:8/***"),
        ("http://h?secret", "http://h/***"),
        ("http://[::1]:8/a", "http://[::1]:8/***"),
        ("not a url", "/***"),
    ],
)
def test_redacted(url: str, shown: str) -> None:
    assert redact_webhook(url) == shown
