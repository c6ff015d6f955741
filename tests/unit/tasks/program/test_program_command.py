"""Placeholders of a command, and the programs that a worker admits."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics_endpoint import BadSetting
from tasks.program.allowlist import COMMANDS, CommandAllowlist, entry_of
from tasks.program.command import BadPlaceholder, Command, fill, placeholders

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VARIABLES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def admitted(listed: str) -> CommandAllowlist:
    return CommandAllowlist.of({COMMANDS: listed})


@pytest.mark.parametrize(
    ("text", "names", "filled"),
    [
        ("--lr={lr}", ["lr"], "--lr=0.1"),
        ("{lr}{a.b}", ["lr", "a.b"], "0.1x"),
        ('{{"a": {lr}}}', ["lr"], '{"a": 0.1}'),
        ("{}", [""], "nothing"),
        ("{lr!r:>{width}}", None, None),
        ("}", None, None),
        ("{", None, None),
        ("{{{lr}}}", ["lr"], "{0.1}"),
    ],
)
def test_placeholders(text: str, names: list[str] | None, filled: str | None) -> None:
    if names is None:
        with pytest.raises(BadPlaceholder, match=r"has a single '[{}]'"):
            list(placeholders(text))
        return
    assert list(placeholders(text)) == names
    assert fill(text, {"lr": 0.1, "a.b": "x", "": "nothing"}) == filled


@given(WORDS)
def test_doubled_braces_are_plain_ones(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")

    assert (list(placeholders(doubled)), fill(doubled, {})) == ([], text)


def test_a_worker_runs_nothing_unless_its_owner_lists_it() -> None:
    refused = admitted("").refuse(Command(run=("python", "train.py", "--lr", "{lr}"), env={"LR": "{lr}"}))

    assert COMMANDS in refused
    assert "LR= python train.py --lr '{lr}'" in refused
    assert "\n" not in refused


@pytest.mark.parametrize(
    ("listed", "run", "env", "runs"),
    [
        ("python train.py", ["python", "train.py"], {}, True),
        ("python train.py", ["python", "train.py", "--lr", "{lr}"], {}, True),
        ("python train.py", ["python", "other.py"], {}, False),
        ("python train.py", ["python", "{script}"], {}, False),
        ("python train.py", ["python"], {}, False),
        ("python train.py", ["/usr/bin/python", "train.py"], {}, False),
        ("python train.py", ["python train.py"], {}, False),
        ("python train.py", ["python", "train.py"], {"LD_PRELOAD": "evil.so"}, False),
        ("LR= python train.py", ["python", "train.py"], {"LR": "{lr}"}, True),
        ("LR= python train.py", ["python", "train.py"], {"LR": "{lr}", "PYTHONPATH": "evil"}, False),
        ("a b; python train.py ; c", ["python", "train.py"], {}, True),
        ("a b\npython train.py\n", ["python", "train.py"], {}, True),
        ("a\n*", ["anything"], {"LD_PRELOAD": "evil.so"}, True),
        ("'a b' c", ["a b", "c"], {}, True),
    ],
)
def test_an_entry_admits_what_begins_with_its_words(
    listed: str, run: list[str], env: dict[str, str], runs: bool
) -> None:
    assert (admitted(listed).refuse(Command(run=tuple(run), env=env)) == "") is runs


@given(st.lists(WORDS, min_size=1, max_size=4), st.dictionaries(VARIABLES, WORDS, max_size=3), WORDS)
def test_the_entry_of_a_command_admits_it_and_no_other(run: list[str], env: dict[str, str], other: str) -> None:
    command = Command(run=tuple(run), env=env)
    # Words that look like variables, or like separators, are the owner's to write out.
    if "=" in run[0] or any(word and not word.strip(";\n") for word in run):
        return
    found = admitted(f"first one;{entry_of(command)}\nlast one")

    assert found.refuse(command) == ""
    if other != run[0]:
        assert found.refuse(Command(run=(other, *run[1:]), env=env)) or other in ("first", "last")


@pytest.mark.parametrize(
    ("listed", "problem"), [("python 'train.py", "no closing quotation"), ("LR= ; x", "names no program")]
)
def test_a_list_that_cannot_be_read_is_refused(listed: str, problem: str) -> None:
    with pytest.raises(BadSetting, match=problem):
        admitted(listed)


def test_words_are_shown_as_one_would_type_them() -> None:
    assert shlex.split(entry_of(Command(run=("sh", "-c", "a && b")))) == ["sh", "-c", "a && b"]
