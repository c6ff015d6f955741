"""What a keeper does with models and files: into a folder at once, elsewhere beside the training, and all before the
runner's last word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloud import Cloud, opened
from optuna.artifacts import FileSystemArtifactStore
from recording_sink import PATIENCE, RecordingSink, short

from tasks.codec import is_artifact_of
from tasks.contract import (
    Failed,
    Finished,
    Job,
    Outcome,
    Paused,
    Released,
    Stopped,
)
from tasks.keeper import artifact_collector, upload_queue
from tasks.keeper.artifact_collector import ArtifactCollector
from tasks.trainer_messages import ModelSaved
from tasks.trial_files import FILES, MODELS

TOKEN = "6f1c"
DIED = Failed(cause="died", error="E", message="m")


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Cloud]]:
    monkeypatch.setattr(upload_queue, "FIRST_PAUSE", 0.01)
    with opened() as it:
        yield it


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "trial-00007.log"


def job(token: str = TOKEN) -> Job:
    return Job(study="s", uid="uid", trial=7, token=token, attempt=1, objective="m:f", directions=("minimize",))


class CollectorHarness:
    """One keeper's artifacts, and what a trainer does with them."""

    def __init__(self, url: str, tmp_path: Path, sink: RecordingSink, log: Path) -> None:
        self.scratch = tmp_path / "scratch"
        self.it = ArtifactCollector(
            url, self.scratch, sink, lambda runner, outcome: sink.publish(runner, outcome) and None
        )
        self.folder = Path()
        self._log = log
        self._count = 0

    def begin(self, runner: str = "one") -> Path:
        self.folder = self.it.begin(job(), runner, self._log)
        return self.folder

    def save(self, text: str, name: str = "model.pt") -> None:
        self._count += 1
        path = self.folder / MODELS / str(self._count)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.it.keep(ModelSaved(name=name, file=path.name))

    def leave(self, name: str, text: str = "x") -> Path:
        path = self.folder / FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "shelf" / "artifacts"


@pytest.fixture(params=["folder", "another disk", "memory", "cloud"])
def harness(
    request: pytest.FixtureRequest, tmp_path: Path, shelf: Path, sink: RecordingSink, log: Path
) -> Iterator[CollectorHarness]:
    urls = {"memory": f"memory://{tmp_path}/kept", "cloud": "cloud://bucket/prefix"}
    if request.param == "another disk":
        elsewhere = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
        if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is but one disk")
        shelf = elsewhere / f"{os.getpid()}-{tmp_path.name}"
    it = CollectorHarness(urls.get(request.param, str(shelf)), tmp_path, sink, log)
    yield it
    it.it.close(PATIENCE)
    it.it.close(PATIENCE)
    assert not it.it.pending
    assert not list(it.scratch.glob("*")), "nothing is left behind"
    if request.param == "another disk":
        assert not list(shelf.glob("*.tmp"))
        shutil.rmtree(shelf, ignore_errors=True)


@pytest.fixture
def near(tmp_path: Path, shelf: Path, sink: RecordingSink, log: Path) -> Iterator[CollectorHarness]:
    it = CollectorHarness(str(shelf), tmp_path, sink, log)
    yield it
    it.it.close(PATIENCE)


@pytest.fixture
def far(tmp_path: Path, sink: RecordingSink, log: Path) -> Iterator[CollectorHarness]:
    it = CollectorHarness("cloud://bucket/prefix", tmp_path, sink, log)
    yield it
    Cloud.gate.set()
    it.it.close(PATIENCE)


# -- every store


@pytest.mark.parametrize(
    "outcome", [Finished(values=(1.0,)), Stopped(), Paused(step=2), Released(), DIED], ids=lambda it: type(it).__name__
)
def test_whatever_the_end_all_is_told_before_it(
    harness: CollectorHarness, sink: RecordingSink, outcome: Outcome
) -> None:
    harness.begin()
    harness.save("weights")
    harness.leave("b.txt")
    harness.leave("a.json", "{}")
    harness.leave("plots/deep/c.png", "")
    harness.it.finish("one", outcome)
    assert sink.wait("one") == [
        *("model model.pt", "file a.json", "file b.txt", "file plots/deep/c.png"),
        type(outcome).__name__,
    ]
    refs = sink.refs()
    assert len({ref.id for ref in refs}) == 4
    assert all(is_artifact_of(TOKEN, ref.id) for ref in refs)
    assert [ref.size for ref in refs] == [7, 2, 1, 0]
    assert [ref.mimetype for ref in refs] == ["application/octet-stream", "application/json", "text/plain", "image/png"]


def test_an_attempt_that_leaves_nothing_ends_at_once(harness: CollectorHarness, sink: RecordingSink) -> None:
    harness.begin()
    harness.it.finish("one", Released())
    assert [short(body) for _, body in sink.said] == ["Released"]
    harness.it.finish("never begun", Stopped())
    assert sink.said[-1] == ("never begun", Stopped())


@pytest.mark.parametrize("name", ["../x", "a/b", "", "..", "é"])
def test_a_file_that_is_none_of_ours_is_left_alone(harness: CollectorHarness, sink: RecordingSink, name: str) -> None:
    harness.begin()
    harness.it.keep(ModelSaved(name="model.pt", file=name))
    harness.it.finish("one", Released())
    assert sink.wait("one") == ["Released"]


def test_links_devices_and_odd_names_are_said_and_left_out(
    harness: CollectorHarness, sink: RecordingSink, log: Path
) -> None:
    harness.begin()
    kept = harness.leave("kept.txt")
    os.symlink("/etc/hostname", kept.with_name("link"))
    os.mkfifo(kept.with_name("pipe"))
    harness.leave("line\nend")
    (Path(os.fsdecode(os.fsencode(kept.parent) + b"/\xff.bin"))).write_text("x")
    harness.it.finish("one", Finished(values=(0.0,)))
    assert sink.wait("one") == ["file kept.txt", "file \ufffd.bin", "Finished"]
    lines = log.read_text().splitlines()
    assert len(lines) == 3
    assert "'link' in artifact_dir is not kept: it is no regular file" in lines[1]
    assert "'pipe' in artifact_dir is not kept" in lines[2]


def test_no_more_files_are_kept_than_can_be_looked_at(
    near: CollectorHarness, sink: RecordingSink, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_collector, "MAX_FILES", 3)
    near.begin()
    for number in range(5):
        near.leave(f"{number}.txt")
    near.it.finish("one", Stopped())
    assert sink.wait("one") == ["file 0.txt", "file 1.txt", "file 2.txt", "Stopped"]
    assert log.read_text() == "artifact_dir holds more than 3 files; the others are not kept\n"


# -- a folder


def test_a_folder_is_what_optuna_reads(near: CollectorHarness, sink: RecordingSink, shelf: Path) -> None:
    near.begin()
    near.save("weights")
    near.it.finish("one", Finished(values=(0.0,)))
    assert [short(body) for _, body in sink.said] == ["model model.pt", "Finished"], "the slot waits for a folder"
    (ref,) = sink.refs()
    with FileSystemArtifactStore(shelf).open_reader(ref.id) as reader:
        assert reader.read() == b"weights"
    assert [path.name for path in shelf.iterdir()] == [ref.id]


def test_a_folder_that_takes_nothing_harms_no_trial(
    near: CollectorHarness, sink: RecordingSink, shelf: Path, log: Path
) -> None:
    shelf.parent.mkdir()
    shelf.touch()
    near.begin()
    near.save("weights")
    near.leave("a.txt")
    near.it.finish("one", Finished(values=(0.0,)))
    assert sink.wait("one") == ["not kept: model.pt", "Finished"]
    first, second = log.read_text().splitlines()
    assert first.startswith("the model 'model.pt' could not be kept: ")
    assert "File exists" in first
    assert second.startswith("the file 'a.txt' could not be kept: ")
    shelf.unlink()
    near.begin("two")
    near.save("weights")
    near.it.finish("two", Released())
    assert sink.wait("two") == ["model model.pt", "Released"], "the next one tries again"


def test_a_model_that_is_stored_at_last_is_not_named_any_more(
    near: CollectorHarness, sink: RecordingSink, shelf: Path
) -> None:
    shelf.parent.mkdir()
    shelf.touch()
    near.begin()
    near.save("weights")
    sink.wait_for(1)
    shelf.unlink()
    near.save("better")
    near.it.finish("one", Finished(values=(0.0,)))
    assert sink.wait("one") == ["not kept: model.pt", "model model.pt", "not kept: ", "Finished"]


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "device"])
@pytest.mark.parametrize("what", ["model", "log", "the folder of models", "artifact_dir"])
def test_paths_that_the_objective_has_replaced_neither_block_nor_mislead(
    near: CollectorHarness, sink: RecordingSink, log: Path, tmp_path: Path, kind: str, what: str
) -> None:
    other = tmp_path / "other"
    (other / FILES).mkdir(parents=True)
    (other / "1").write_text("of another program")
    near.begin()
    near.save("weights")
    path = {
        "model": near.folder / MODELS / "2",
        "log": log,
        "the folder of models": near.folder / MODELS,
        "artifact_dir": near.folder / FILES,
    }[what]
    sink.wait_for(1)
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else other)
    near.it.keep(ModelSaved(name="second.pt", file="1" if what == "the folder of models" else "2"))
    near.it.finish("one", Finished(values=(0.0,)))
    assert sink.wait("one") == ["model model.pt", "not kept: second.pt", "Finished"]
    assert (other / "1").read_text() == "of another program"


# -- elsewhere


def uploaded() -> dict[str, str]:
    return {path.rpartition("/")[2]: Cloud().cat_file(path).decode() for path in Cloud.store}


def test_a_store_that_comes_back_gets_it_after_all(far: CollectorHarness, sink: RecordingSink) -> None:
    Cloud.away = 3
    far.begin()
    far.save("weights")
    far.it.finish("one", Paused(step=1))
    assert sink.wait("one") == ["model model.pt", "Paused"]
    assert uploaded() == {sink.refs()[0].id: "weights"}


def test_after_long_enough_the_attempt_goes_without(
    tmp_path: Path, sink: RecordingSink, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_queue, "GIVE_UP_SECONDS", 0.05)
    harness = CollectorHarness("cloud://bucket/prefix", tmp_path, sink, log)
    Cloud.away = 1_000_000
    harness.begin()
    harness.save("weights")
    for number in range(50):
        harness.leave(f"{number}.txt")
    harness.it.finish("one", Finished(values=(0.0,)))
    assert sink.wait("one") == ["not kept: model.pt", "Finished"]
    lines = log.read_text().splitlines()
    assert lines[0] == "the model 'model.pt' could not be kept: RuntimeError: 503 slow down"
    assert lines[1] == "the file '0.txt' could not be kept: the store is away"
    assert len(lines) == 51
    Cloud.away = 0
    harness.begin("two")
    harness.save("weights")
    harness.it.finish("two", Released())
    assert sink.wait("two") == ["model model.pt", "Released"], "the next one tries again"
    harness.it.close(PATIENCE)


def test_the_slot_is_free_while_the_last_model_is_on_its_way(far: CollectorHarness, sink: RecordingSink) -> None:
    Cloud.gate.clear()
    far.begin()
    far.save("first")
    far.it.finish("one", Finished(values=(0.0,)))
    far.begin("two")
    far.it.finish("two", Released())
    assert [short(body) for _, body in sink.said] == ["Released"], "it has nothing to wait for"
    assert far.it.pending
    Cloud.gate.set()
    assert sink.wait("one") == ["model model.pt", "Finished"]


def test_where_uploads_are_slower_than_saves_the_newest_of_a_name_is_sent(
    far: CollectorHarness, sink: RecordingSink
) -> None:
    Cloud.gate.clear()
    far.begin()
    far.save("0")
    assert Cloud.entered.wait(PATIENCE)
    for number in range(1, 30):
        far.save(str(number))
        far.save(str(number), "other.pt")
    far.leave("model.pt", "a file")
    far.it.finish("one", Finished(values=(0.0,)))
    Cloud.gate.set()
    assert sink.wait("one") == [
        *("model model.pt", "model model.pt", "model other.pt", "file model.pt"),
        "Finished",
    ]
    found = uploaded()
    assert [found[ref.id] for ref in sink.refs()] == ["0", "29", "29", "a file"]


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_a_keeper_that_ends_says_the_last_word_without_the_upload(
    far: CollectorHarness, sink: RecordingSink, log: Path, seconds: float
) -> None:
    Cloud.gate.clear()
    far.begin()
    far.save("weights")
    far.it.finish("one", Released())
    assert Cloud.entered.wait(PATIENCE)
    far.it.close(seconds)
    said = sink.wait("one")
    assert said == ["not kept: model.pt", "Released"]
    assert log.read_text() == "the model 'model.pt' could not be kept: the worker ends\n"
    Cloud.gate.set()
    far.it.close(PATIENCE)
    assert not sink.refs()


def test_a_file_that_is_gone_delays_no_other_file(far: CollectorHarness, sink: RecordingSink, log: Path) -> None:
    vanish: list[Callable[[], None]] = []
    Cloud.gate.clear()
    far.begin()
    for name in ("a.txt", "b.txt"):
        vanish.append(far.leave(name).unlink)
    far.it.finish("one", Released())
    for each in vanish:
        each()
    Cloud.gate.set()
    assert sink.wait("one") == ["Released"]
    assert "the file 'a.txt' could not be kept: FileNotFoundError" in log.read_text()
