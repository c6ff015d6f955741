"""What a command prints goes to whatever standard output is: a full disk, nothing, an encoding that lacks letters."""

from __future__ import annotations

import io
import os
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
