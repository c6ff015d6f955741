"""What messages advise: a command that the shell splits as it was meant, or a call that is there in Python."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import BadInput, Search, connect
from orchestrator.api.fleet import Fleet
from orchestrator.api.study_handle import StudyHandle
from orchestrator.cli import cli
from orchestrator.common.advice import EQUALS, for_the_shell, how_to


class Stand:
    """Stands for an object of the interface in an expression."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __getitem__(self, name: str) -> Stand:
        return Stand(StudyHandle)

    def __getattr__(self, name: str) -> Stand:
        assert callable(getattr(self._cls, name)), name
        return self

    def __call__(self, *_: object) -> Stand:
        return self


@pytest.mark.parametrize("command", EQUALS)
def test_the_equal_of_a_command_is_a_call_that_is_there(command: str) -> None:
    names = {"connect": lambda: Stand(Fleet), "Search": Stand(Search)}
    eval(how_to(command, "study", 3), {}, names)
    assert command.split()[0] in cli.commands


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_names_are_written_as_python_and_the_shell_read_them(name: str) -> None:
    called = ast.parse(how_to("resume", name), mode="eval").body
    assert [each.value for each in ast.walk(called) if isinstance(each, ast.Constant)] == [name]
    with for_the_shell():
        assert shlex.split(how_to("logs", name, 3)) == ["orchestrator", "logs", name, "3"]


def test_the_command_line_and_python_are_each_advised_in_their_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Search.init("mine")
    with pytest.raises(BadInput, match=r"""; 'Search.from_file\("mine/search.toml"\).validate\(\)' checks it"""):
        Search.init("mine")
    assert "; 'orchestrator validate mine/search.toml' checks it" in str(
        CliRunner().invoke(cli, ["init", "mine"]).exception
    )
    with connect(storage_url="sqlite:///new.db") as fleet:
        fleet.prepare()
        with pytest.raises(BadInput, match=r"a fleet needs both URLs; 'Search.run\(\)' alone needs neither"):
            Search("tasks.objectives.digits:objective", name="a", trials=1).submit(fleet)
