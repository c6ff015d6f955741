"""The packages that a report needs, and the one that it can do without."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_facts import ordinary

from orchestrator.cli import cli
from orchestrator.common import extras
from orchestrator.common.errors import BadInput
from orchestrator.report import write_files


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else find_spec(name))


@pytest.mark.parametrize("package", ["plotly", "jinja2"])
def test_without_plots_or_a_page_there_is_no_report(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(package, monkeypatch)
    done = CliRunner().invoke(cli, ["report", "any"])
    assert isinstance(done.exception, BadInput)
    assert str(done.exception) == (f"report: needs {package}, which is not installed; pip install {package}")


def test_without_matplotlib_there_is_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_files.write(ordinary(), tmp_path, lambda _: None)
    assert whole.png
    assert whole.missing == ""
    without("matplotlib", monkeypatch)
    written = write_files.write(ordinary(), tmp_path, lambda _: None)
    assert written.html.stat().st_size > 1_000_000
    assert written.png == []
    assert written.missing == "no PNG files: matplotlib is not installed; pip install matplotlib"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"], "those of before are gone"
