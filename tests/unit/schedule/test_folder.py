"""The files of a folder: which are schedules, and the problems of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.schedule import folder as module
from orchestrator.schedule.folder import Folder

SPEC = 'name = "{name}"\nobjective = "m:f"\ntrials = 3\n'
SCHEDULE = "[schedule]\ncron = '0 2 * * *'\n"


def write(folder: Path, file: str, name: str, more: str = SCHEDULE) -> None:
    (folder / file).write_text(SPEC.format(name=name) + more)


def test_only_specs_with_a_schedule_are_schedules(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", "one")
    write(tmp_path, "b.toml", "search", "")
    write(tmp_path, ".hidden.toml", "hidden")
    write(tmp_path, "c.toml.bak", "old")
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "d.toml", "below")
    contents = Folder(tmp_path).read()
    assert ([*contents.schedules], contents.problems) == (["one"], {})
    assert contents.schedules["one"].path == tmp_path / "a.toml"


def test_what_is_wrong_is_named_by_file(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", "one")
    write(tmp_path, "b.toml", "one")
    write(tmp_path, "c.toml", "x" * 112)
    (tmp_path / "d.toml").write_bytes(b"\xff")
    (tmp_path / "e.toml").mkdir()
    (tmp_path / "f.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "g.toml").touch()
    contents = Folder(tmp_path).read()
    assert [*contents.schedules] == ["one"]
    said = {path.name: problem.removeprefix(f"{tmp_path}/") for path, problem in contents.problems.items()}
    assert said == {
        "b.toml": f"b.toml: name: 'one' is that of {tmp_path}/a.toml; take another one",
        "c.toml": "c.toml: name: has 112 characters, and the runs of a schedule are called after it; use at most 111",
        "d.toml": "d.toml: line 1: is not UTF-8: byte 0xff; save it as UTF-8",
        "e.toml": "e.toml: is a directory; give the spec file in it",
        "f.toml": "f.toml: there is no such file",
        "g.toml": "g.toml: is empty; it needs at least name, objective and trials",
    }


def test_a_change_is_seen_even_where_size_and_time_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.toml", "one")
    parsed: list[str] = []
    parse = module.parse
    monkeypatch.setattr(module, "parse", lambda text, source: parsed.append(source) or parse(text, source))
    folder = Folder(tmp_path)
    for _ in range(3):
        folder.read()
    assert len(parsed) == 1
    write(tmp_path, "a.toml", "two")
    assert [*folder.read().schedules] == ["two"]
    (tmp_path / "a.toml").unlink()
    assert folder.read().schedules == {}
    assert len(parsed) == 2


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be read: No such file.*name the folder of the specs"):
        Folder(tmp_path / "nowhere").read()
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="Not a directory"):
        Folder(tmp_path / "file").read()
