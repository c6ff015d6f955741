"""What a command prints goes to whatever standard output is: a full disk, nothing, an encoding that lacks letters."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from orchestrator.cli.program import main


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    stream = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", encoding="utf-8")
    yield stream
    with suppress(OSError):
        stream.close()


@pytest.mark.parametrize("printed", [10, 100_000])
def test_a_full_disk_is_said_in_one_line(
    printed: int, full: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", full)
    monkeypatch.setattr("orchestrator.cli.program.cli.main", lambda *_, **__: click.echo("x" * printed))
    with pytest.raises(SystemExit) as ended:
        main(["ls"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "orchestrator: standard output: cannot be written: No space left on device\n"


def test_an_output_that_was_closed_takes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    main(["init", str(tmp_path / "mine")])
    sys.stdout.close()
    assert (tmp_path / "mine" / "search.toml").exists()


def test_an_encoding_that_lacks_letters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    main(["init", str(tmp_path / "\xfc\u2013\U0001f680")])
    assert "\xfc??".encode("latin-1") in raw.getvalue()


@pytest.mark.parametrize("kind", ["file", "pipe", "terminal", "/dev/null", "object"])
def test_an_error_of_something_else_leaves_no_trace_in_the_output(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        click.echo("a line")
        raise OSError(5, "of something else, and without a file name")

    ends = {"pipe": os.pipe, "terminal": pty.openpty}.get(kind, lambda: None)()
    path = tmp_path / "out" if kind == "file" else Path(os.devnull)
    fd = os.open(path, os.O_RDWR | os.O_CREAT) if ends is None else ends[1]
    stream = io.StringIO() if kind == "object" else os.fdopen(fd, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr("orchestrator.cli.program.cli.main", fail)
    with pytest.raises(OSError, match="of something else"):
        main(["ls"])
    if ends is not None:
        assert os.read(ends[0], 100).decode().splitlines() == ["a line"]
        os.close(ends[0])
    elif kind == "file":
        assert (tmp_path / "out").read_text() == "a line\n"
    elif isinstance(stream, io.StringIO):
        assert stream.getvalue() == "a line\n"
    stream.close()


def test_a_pipe_without_a_reader_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)

    def fail(*_: object, **__: object) -> None:
        os.close(reading)
        raise OSError(5, "lost what was printed")

    monkeypatch.setattr("orchestrator.cli.program.cli.main", fail)
    with pytest.raises(SystemExit):
        main(["ls"])
    assert capsys.readouterr().err == "orchestrator: standard output: cannot be written: Broken pipe\n"
    stream.close()
