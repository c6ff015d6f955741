"""The digest of an objective's source, and a real trainer that finds its code changed."""

from __future__ import annotations

import importlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.codec import decode_from_trainer
from tasks.contract import Failed, Finished, Imported, Job
from tasks.keeper.trainer_process import TrainerProcess
from tasks.objective_allowlist import OBJECTIVES
from tasks.objective_path import OBJECTIVE_PATH
from tasks.trainer.source_digest import SourceTracker
from tasks.trainer_messages import FromTrainer, Ready, Stale, TrainJob

FILES = {
    "fruit.py": "import json\nimport seeds\nfrom orchard import tree\ndef objective(trial): return seeds.VALUE\n",
    "seeds.py": "VALUE = 1.0\n",
    "orchard/__init__.py": "",
    "orchard/tree.py": "from . import leaf\ndef late():\n    import shed.tools\n",
    "orchard/leaf.py": "",
    "orchard/unused.py": "",
    "shed/__init__.py": "",
    "shed/tools.py": "",
    "other.py": "import seeds\ndef objective(trial): return 2.0\n",
}
USED = ["fruit.py", "seeds.py", "orchard/__init__.py", "orchard/tree.py", "orchard/leaf.py", "shed/tools.py"]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "code"
    for name, text in FILES.items():
        write(folder / name, text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    yield folder
    forget()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def forget() -> None:
    tops = {name.partition("/")[0].removesuffix(".py") for name in FILES}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]
    importlib.invalidate_caches()


def digest(folder: Path, module: str = "fruit") -> str:
    """As a process would that imports nothing else."""
    forget()
    importlib.import_module(module)
    return SourceTracker([folder]).take(module)


@pytest.mark.parametrize("name", USED)
def test_the_digest_is_over_every_module_that_is_imported_sooner_or_later(code: Path, name: str) -> None:
    before = digest(code)
    assert digest(code) == before
    with (code / name).open("a") as file:
        file.write("# changed\n")
    assert digest(code) != before


@pytest.mark.parametrize("name", ["orchard/unused.py", "other.py", "unrelated.py"])
def test_the_digest_is_over_nothing_else(code: Path, name: str) -> None:
    before = digest(code)
    with (code / name).open("a") as file:
        file.write("# changed\n")
    assert digest(code) == before


def test_the_digest_is_the_same_whatever_the_process_did_before(code: Path) -> None:
    alone = digest(code)
    forget()
    sources = SourceTracker([code])
    importlib.import_module("other")
    sources.take("other")
    importlib.import_module("shed.tools")
    importlib.import_module("orchard.unused")
    importlib.import_module("fruit")
    assert sources.take("fruit") == alone
    # Nor does it matter where the files lie.
    moved = code.parent / "elsewhere"
    code.rename(moved)
    sys.path.insert(0, str(moved))
    try:
        assert digest(moved) == alone
    finally:
        sys.path.remove(str(moved))


def test_code_beside_an_objective_is_the_users_though_no_folder_is_named(code: Path) -> None:
    before = digest(Path("/nowhere"))
    write(code / "seeds.py", "VALUE = 3.0\n")
    assert digest(Path("/nowhere")) != before


def test_a_file_that_does_not_parse_is_only_bytes(code: Path) -> None:
    write(code / "shed" / "tools.py", "def (:\n")
    assert digest(code)


@pytest.mark.parametrize("name", ["fruit.py", "seeds.py", "orchard/leaf.py"])
@pytest.mark.parametrize("how", ["longer", "same size and time", "gone", "replaced"])
def test_a_change_of_an_imported_file_is_found(code: Path, name: str, how: str) -> None:
    importlib.import_module("fruit")
    sources = SourceTracker([code])
    sources.take("fruit")
    assert sources.changed() == ""
    path = code / name
    stat = path.stat()
    match how:
        case "longer":
            path.write_text(path.read_text() + "\n")
        case "same size and time":
            path.write_text("#" * stat.st_size if stat.st_size else "\n")
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        case "gone":
            path.unlink()
        case "replaced":
            write(code / "new", "# other\n")
            os.replace(code / "new", path)
    assert sources.changed() == name.removesuffix(".py").replace("/", ".")


def test_a_file_that_is_only_touched_has_not_changed(code: Path) -> None:
    importlib.import_module("fruit")
    sources = SourceTracker([code])
    sources.take("fruit")
    for path in code.rglob("*.py"):
        path.touch()
    assert sources.changed() == ""


def test_a_module_that_is_imported_late_is_watched_and_an_installed_one_is_not(code: Path) -> None:
    importlib.import_module("fruit")
    sources = SourceTracker([code])
    sources.take("fruit")
    count = len(sources)
    assert count == 5
    importlib.import_module("orchard.unused")
    sources.watch()
    assert len(sources) == count + 1
    write(code / "orchard" / "unused.py", "# changed\n")
    assert sources.changed() == "orchard.unused"


class Bench:
    """A real trainer, and the jobs it is given."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self._environment = os.environ | {OBJECTIVE_PATH: str(folder / "code"), "PYTHONDONTWRITEBYTECODE": "1"}
        self._environment |= environment
        self.start()

    def start(self) -> None:
        self.trainer = TrainerProcess(self._environment, uuid.uuid4().hex, self._folder / "trainer.log")

    def run(self, uid: str, objective: str = "fruit:objective") -> list[FromTrainer]:
        """Returns what it says of one job."""
        job = Job(study=uid, uid=uid, trial=0, token="t", attempt=1, objective=objective, directions=("minimize",))
        self.trainer.send(
            TrainJob(
                job=job, log=str(self._folder / "log"), scratch=str(self._folder), artifacts=str(self._folder / "a")
            )
        )
        said: list[FromTrainer] = []
        while not said or not isinstance(said[-1], Ready | Stale):
            said += [decode_from_trainer(data) for data in self.trainer.wire.receive()]
        return said


@pytest.fixture
def bench(tmp_path: Path, code: Path) -> Iterator[Callable[..., Bench]]:
    del code
    made: list[Bench] = []

    def make(**environment: str) -> Bench:
        made.append(Bench(tmp_path, **environment))
        return made[-1]

    yield make
    for each in made:
        each.trainer.kill()


def test_a_trainer_hands_back_the_job_of_another_study_when_its_code_has_changed(
    bench: Callable[..., Bench], code: Path
) -> None:
    it = bench()
    first = it.run("a")
    assert first == [Imported(digest=digest(code)), Finished(values=(1.0,)), Ready()]
    assert it.run("b") == first
    write(code / "seeds.py", "VALUE = 7.0\n")
    # Studies that it has begun go on with what they began with, and say so.
    assert it.run("a") == first
    (stale,) = it.run("c")
    assert stale == Stale(why="the source of 'seeds' has changed since it was imported")
    assert it.run("b") == first
    it.trainer.kill()
    it.start()
    after = it.run("c")
    assert after == [Imported(digest=digest(code)), Finished(values=(7.0,)), Ready()]
    assert after[0] != first[0]


def test_a_trainer_finds_a_module_that_was_written_after_its_start(bench: Callable[..., Bench], code: Path) -> None:
    it = bench()
    it.run("a")
    write(code / "fresh.py", "def objective(trial): return 9.0\n")
    assert Finished(values=(9.0,)) in it.run("b", "fresh:objective")


@pytest.mark.parametrize(
    ("listed", "reference", "admitted"),
    [
        ("", "fruit:objective", True),
        ("", "fruit:json.loads", False),
        ("", "os:getpid", False),
        ("other", "fruit:objective", False),
        ("other,fruit", "fruit:objective", True),
    ],
)
def test_the_trainer_itself_runs_only_what_is_admitted(
    bench: Callable[..., Bench], listed: str, reference: str, admitted: bool
) -> None:
    said = bench(**{OBJECTIVES: listed}).run("a", reference)
    if admitted:
        assert isinstance(said[1], Finished)
    else:
        assert isinstance(said[0], Failed)
        assert (said[0].cause, said[0].error) == ("import", "NotAdmitted")
