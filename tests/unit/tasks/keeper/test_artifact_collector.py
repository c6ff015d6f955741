"""What a keeper does with models and files: into a folder at once, elsewhere beside the training, and all before the
runner's last word."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloud import Cloud, opened
from optuna.artifacts import FileSystemArtifactStore

from tasks.codec import is_artifact_of
from tasks.contract import (
    Artifact,
    ArtifactRef,
    Attribute,
    Body,
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
from tasks.trial_files import FILES, MODELS, NOT_KEPT

PATIENCE = 20.0
TOKEN = "6f1c"
DIED = Failed(cause="died", error="E", message="m")


class Voice:
    """Keeps what is said, and the outcomes that are told; ``wait`` waits for a runner's."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Body]] = []
        self._changed = threading.Condition()

    def publish(self, runner: str, body: Body) -> int:
        with self._changed:
            self.said.append((runner, body))
            self._changed.notify_all()
            return len(self.said)

    def end(self, runner: str) -> None:
        raise AssertionError(f"{runner} is ended by the store of checkpoints")

    def wait(self, runner: str) -> list[str]:
        def over() -> bool:
            return any(who == runner and not isinstance(body, Artifact | Attribute) for who, body in self.said)

        with self._changed:
            assert self._changed.wait_for(over, PATIENCE), self.said
        return [short(body) for who, body in self.said if who == runner]

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.said) == count, PATIENCE), self.said

    def refs(self) -> list[ArtifactRef]:
        return [body.ref for _, body in self.said if isinstance(body, Artifact)]


def short(body: Body) -> str:
    if isinstance(body, Attribute):
        assert body.key == NOT_KEPT
        return f"not kept: {', '.join(json.loads(body.value))}"
    return f"{body.ref.kind} {body.ref.filename}" if isinstance(body, Artifact) else type(body).__name__


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Cloud]]:
    monkeypatch.setattr(upload_queue, "FIRST_PAUSE", 0.01)
    with opened() as it:
        yield it


@pytest.fixture
def voice() -> Voice:
    return Voice()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "trial-00007.log"


def job(token: str = TOKEN) -> Job:
    return Job(study="s", uid="uid", trial=7, token=token, attempt=1, objective="m:f", directions=("minimize",))


class Desk:
    """One keeper's artifacts, and what a trainer does with them."""

    def __init__(self, url: str, tmp_path: Path, voice: Voice, log: Path) -> None:
        self.scratch = tmp_path / "scratch"
        self.it = ArtifactCollector(
            url, self.scratch, voice, lambda runner, outcome: voice.publish(runner, outcome) and None
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
def desk(request: pytest.FixtureRequest, tmp_path: Path, shelf: Path, voice: Voice, log: Path) -> Iterator[Desk]:
    urls = {"memory": f"memory://{tmp_path}/kept", "cloud": "cloud://bucket/prefix"}
    if request.param == "another disk":
        elsewhere = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
        if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is but one disk")
        shelf = elsewhere / f"{os.getpid()}-{tmp_path.name}"
    it = Desk(urls.get(request.param, str(shelf)), tmp_path, voice, log)
    yield it
    it.it.close(PATIENCE)
    it.it.close(PATIENCE)
    assert not it.it.pending
    assert not list(it.scratch.glob("*")), "nothing is left behind"
    if request.param == "another disk":
        assert not list(shelf.glob("*.tmp"))
        shutil.rmtree(shelf, ignore_errors=True)


@pytest.fixture
def near(tmp_path: Path, shelf: Path, voice: Voice, log: Path) -> Iterator[Desk]:
    it = Desk(str(shelf), tmp_path, voice, log)
    yield it
    it.it.close(PATIENCE)


@pytest.fixture
def far(tmp_path: Path, voice: Voice, log: Path) -> Iterator[Desk]:
    it = Desk("cloud://bucket/prefix", tmp_path, voice, log)
    yield it
    Cloud.gate.set()
    it.it.close(PATIENCE)


# -- every store


@pytest.mark.parametrize(
    "outcome", [Finished(values=(1.0,)), Stopped(), Paused(step=2), Released(), DIED], ids=lambda it: type(it).__name__
)
def test_whatever_the_end_all_is_told_before_it(desk: Desk, voice: Voice, outcome: Outcome) -> None:
    desk.begin()
    desk.save("weights")
    desk.leave("b.txt")
    desk.leave("a.json", "{}")
    desk.leave("plots/deep/c.png", "")
    desk.it.finish("one", outcome)
    assert voice.wait("one") == [
        *("model model.pt", "file a.json", "file b.txt", "file plots/deep/c.png"),
        type(outcome).__name__,
    ]
    refs = voice.refs()
    assert len({ref.id for ref in refs}) == 4
    assert all(is_artifact_of(TOKEN, ref.id) for ref in refs)
    assert [ref.size for ref in refs] == [7, 2, 1, 0]
    assert [ref.mimetype for ref in refs] == ["application/octet-stream", "application/json", "text/plain", "image/png"]


def test_an_attempt_that_leaves_nothing_ends_at_once(desk: Desk, voice: Voice) -> None:
    desk.begin()
    desk.it.finish("one", Released())
    assert [short(body) for _, body in voice.said] == ["Released"]
    desk.it.finish("never begun", Stopped())
    assert voice.said[-1] == ("never begun", Stopped())


@pytest.mark.parametrize("name", ["../x", "a/b", "", "..", "é"])
def test_a_file_that_is_none_of_ours_is_left_alone(desk: Desk, voice: Voice, name: str) -> None:
    desk.begin()
    desk.it.keep(ModelSaved(name="model.pt", file=name))
    desk.it.finish("one", Released())
    assert voice.wait("one") == ["Released"]


def test_links_devices_and_odd_names_are_said_and_left_out(desk: Desk, voice: Voice, log: Path) -> None:
    desk.begin()
    kept = desk.leave("kept.txt")
    os.symlink("/etc/hostname", kept.with_name("link"))
    os.mkfifo(kept.with_name("pipe"))
    desk.leave("line\nend")
    (Path(os.fsdecode(os.fsencode(kept.parent) + b"/\xff.bin"))).write_text("x")
    desk.it.finish("one", Finished(values=(0.0,)))
    assert voice.wait("one") == ["file kept.txt", "file \ufffd.bin", "Finished"]
    lines = log.read_text().splitlines()
    assert len(lines) == 3
    assert "'link' in artifact_dir is not kept: it is no regular file" in lines[1]
    assert "'pipe' in artifact_dir is not kept" in lines[2]


def test_no_more_files_are_kept_than_can_be_looked_at(
    near: Desk, voice: Voice, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_collector, "MAX_FILES", 3)
    near.begin()
    for number in range(5):
        near.leave(f"{number}.txt")
    near.it.finish("one", Stopped())
    assert voice.wait("one") == ["file 0.txt", "file 1.txt", "file 2.txt", "Stopped"]
    assert log.read_text() == "artifact_dir holds more than 3 files; the others are not kept\n"


# -- a folder


def test_a_folder_is_what_optuna_reads(near: Desk, voice: Voice, shelf: Path) -> None:
    near.begin()
    near.save("weights")
    near.it.finish("one", Finished(values=(0.0,)))
    assert [short(body) for _, body in voice.said] == ["model model.pt", "Finished"], "the slot waits for a folder"
    (ref,) = voice.refs()
    with FileSystemArtifactStore(shelf).open_reader(ref.id) as reader:
        assert reader.read() == b"weights"
    assert [path.name for path in shelf.iterdir()] == [ref.id]


def test_a_folder_that_takes_nothing_harms_no_trial(near: Desk, voice: Voice, shelf: Path, log: Path) -> None:
    shelf.parent.mkdir()
    shelf.touch()
    near.begin()
    near.save("weights")
    near.leave("a.txt")
    near.it.finish("one", Finished(values=(0.0,)))
    assert voice.wait("one") == ["not kept: model.pt", "Finished"]
    first, second = log.read_text().splitlines()
    assert first.startswith("the model 'model.pt' could not be kept: ")
    assert "File exists" in first
    assert second.startswith("the file 'a.txt' could not be kept: ")
    shelf.unlink()
    near.begin("two")
    near.save("weights")
    near.it.finish("two", Released())
    assert voice.wait("two") == ["model model.pt", "Released"], "the next one tries again"


def test_a_model_that_is_stored_at_last_is_not_named_any_more(near: Desk, voice: Voice, shelf: Path) -> None:
    shelf.parent.mkdir()
    shelf.touch()
    near.begin()
    near.save("weights")
    voice.wait_for(1)
    shelf.unlink()
    near.save("better")
    near.it.finish("one", Finished(values=(0.0,)))
    assert voice.wait("one") == ["not kept: model.pt", "model model.pt", "not kept: ", "Finished"]


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "device"])
@pytest.mark.parametrize("what", ["model", "log", "the folder of models", "artifact_dir"])
def test_paths_that_the_objective_has_replaced_neither_block_nor_mislead(
    near: Desk, voice: Voice, log: Path, tmp_path: Path, kind: str, what: str
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
    voice.wait_for(1)
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
    assert voice.wait("one") == ["model model.pt", "not kept: second.pt", "Finished"]
    assert (other / "1").read_text() == "of another program"


# -- elsewhere


def uploaded() -> dict[str, str]:
    return {path.rpartition("/")[2]: Cloud().cat_file(path).decode() for path in Cloud.store}


def test_a_store_that_comes_back_gets_it_after_all(far: Desk, voice: Voice) -> None:
    Cloud.away = 3
    far.begin()
    far.save("weights")
    far.it.finish("one", Paused(step=1))
    assert voice.wait("one") == ["model model.pt", "Paused"]
    assert uploaded() == {voice.refs()[0].id: "weights"}


def test_after_long_enough_the_attempt_goes_without(
    tmp_path: Path, voice: Voice, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_queue, "GIVE_UP_SECONDS", 0.05)
    desk = Desk("cloud://bucket/prefix", tmp_path, voice, log)
    Cloud.away = 1_000_000
    desk.begin()
    desk.save("weights")
    for number in range(50):
        desk.leave(f"{number}.txt")
    desk.it.finish("one", Finished(values=(0.0,)))
    assert voice.wait("one") == ["not kept: model.pt", "Finished"]
    lines = log.read_text().splitlines()
    assert lines[0] == "the model 'model.pt' could not be kept: RuntimeError: 503 slow down"
    assert lines[1] == "the file '0.txt' could not be kept: the store is away"
    assert len(lines) == 51
    Cloud.away = 0
    desk.begin("two")
    desk.save("weights")
    desk.it.finish("two", Released())
    assert voice.wait("two") == ["model model.pt", "Released"], "the next one tries again"
    desk.it.close(PATIENCE)


def test_the_slot_is_free_while_the_last_model_is_on_its_way(far: Desk, voice: Voice) -> None:
    Cloud.gate.clear()
    far.begin()
    far.save("first")
    far.it.finish("one", Finished(values=(0.0,)))
    far.begin("two")
    far.it.finish("two", Released())
    assert [short(body) for _, body in voice.said] == ["Released"], "it has nothing to wait for"
    assert far.it.pending
    Cloud.gate.set()
    assert voice.wait("one") == ["model model.pt", "Finished"]


def test_where_uploads_are_slower_than_saves_the_newest_of_a_name_is_sent(far: Desk, voice: Voice) -> None:
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
    assert voice.wait("one") == [
        *("model model.pt", "model model.pt", "model other.pt", "file model.pt"),
        "Finished",
    ]
    found = uploaded()
    assert [found[ref.id] for ref in voice.refs()] == ["0", "29", "29", "a file"]


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_a_keeper_that_ends_says_the_last_word_without_the_upload(
    far: Desk, voice: Voice, log: Path, seconds: float
) -> None:
    Cloud.gate.clear()
    far.begin()
    far.save("weights")
    far.it.finish("one", Released())
    assert Cloud.entered.wait(PATIENCE)
    far.it.close(seconds)
    said = voice.wait("one")
    assert said == ["not kept: model.pt", "Released"]
    assert log.read_text() == "the model 'model.pt' could not be kept: the worker ends\n"
    Cloud.gate.set()
    far.it.close(PATIENCE)
    assert not voice.refs()


def test_a_file_that_is_gone_delays_no_other_file(far: Desk, voice: Voice, log: Path) -> None:
    vanish: list[Callable[[], None]] = []
    Cloud.gate.clear()
    far.begin()
    for name in ("a.txt", "b.txt"):
        vanish.append(far.leave(name).unlink)
    far.it.finish("one", Released())
    for each in vanish:
        each()
    Cloud.gate.set()
    assert voice.wait("one") == ["Released"]
    assert "the file 'a.txt' could not be kept: FileNotFoundError" in log.read_text()
