"""Where a keeper keeps checkpoints: a folder, and a store elsewhere that may be away, slow or broken."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloud import Cloud, opened

from tasks.contract import Body, Checkpoint, CheckpointRef, Failed, Finished, Job, Outcome, Paused, Released, Stopped
from tasks.keeper import upload_queue
from tasks.keeper.checkpoint_stores import CheckpointStore, FolderStore, open_store
from tasks.keeper.file_store import check_url, local_folder
from tasks.metrics_endpoint import BadSetting
from tasks.trainer_messages import CheckpointSaved
from tasks.trial_files import file_digest

PATIENCE = 20.0


class RecordingSink:
    """Keeps what is said; ``wait`` waits for a runner's end."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Body | None]] = []
        self._changed = threading.Condition()

    def publish(self, runner: str, body: Body) -> int:
        return self._add(runner, body)

    def end(self, runner: str) -> None:
        self._add(runner, None)

    def _add(self, runner: str, body: Body | None) -> int:
        with self._changed:
            self.said.append((runner, body))
            self._changed.notify_all()
            return len(self.said)

    def wait(self, runner: str) -> list[str]:
        """Returns in short what was said of a runner when its end has been."""
        with self._changed:
            assert self._changed.wait_for(lambda: (runner, None) in self.said, PATIENCE), self.said
        return [self.short(body) for who, body in self.said if who == runner]

    @staticmethod
    def short(body: Body | None) -> str:
        return f"checkpoint {body.ref.step}" if isinstance(body, Checkpoint) else type(body).__name__


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Cloud]]:
    monkeypatch.setattr(upload_queue, "FIRST_PAUSE", 0.01)
    with opened() as it:
        yield it


def job(*refs: CheckpointRef, token: str = "t", trial: int = 7) -> Job:
    return Job(
        study="s",
        uid="uid",
        trial=trial,
        token=token,
        attempt=1,
        objective="m:f",
        directions=("minimize",),
        checkpoints=refs,
    )


def write(folder: Path, step: int, text: str = "state") -> CheckpointSaved:
    """What a trainer does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"t-{step}.pt"
    path.write_text(f"{text} {step}")
    return CheckpointSaved(step=step, file=path.name, digest=file_digest(path), size=path.stat().st_size)


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture(params=["folder", "memory", "cloud"])
def store(request: pytest.FixtureRequest, tmp_path: Path, sink: RecordingSink) -> Iterator[CheckpointStore]:
    url = {"folder": str(tmp_path / "kept"), "memory": f"memory://{tmp_path}/kept", "cloud": "cloud://bucket/prefix"}
    it = open_store(url[request.param], tmp_path / "scratch", sink)
    yield it
    it.close(PATIENCE)
    it.close(PATIENCE)
    assert not it.pending
    assert not list((tmp_path / "scratch").glob("*")), "nothing is left behind"


def refs_of(sink: RecordingSink) -> list[CheckpointRef]:
    return [body.ref for _, body in sink.said if isinstance(body, Checkpoint)]


# -- every store


def test_what_is_kept_is_fetched_wherever_the_trial_goes_on(store: CheckpointStore, sink: RecordingSink) -> None:
    folder = store.begin(job(), "one")
    for step in (1, 2):
        store.keep(job(), "one", write(folder, step))
        while store.pending:
            threading.Event().wait(0.005)
    store.finish("one", Paused(step=2))
    assert sink.wait("one") == ["checkpoint 1", "checkpoint 2", "Paused", "NoneType"]
    refs = tuple(reversed(refs_of(sink)))
    assert [ref.location for ref in refs] == ["uid/00007/t-2.pt", "uid/00007/t-1.pt"]

    again = job(*refs, token="u")
    store.begin(again, "two")
    newest = store.fetch(again, "two")[0]
    assert Path(newest).read_text() == "state 2"
    store.finish("two", Released())
    assert sink.wait("two") == ["Released", "NoneType"]


@pytest.mark.parametrize("outcome", [Finished(values=(1.0,)), Stopped(), Failed(cause="died", error="E", message="m")])
def test_the_last_word_comes_last(store: CheckpointStore, sink: RecordingSink, outcome: Outcome) -> None:
    folder = store.begin(job(), "one")
    for step in range(5):
        store.keep(job(), "one", write(folder, step))
    store.finish("one", outcome)
    assert sink.wait("one")[-2:] == [type(outcome).__name__, "NoneType"]
    assert len([said for said in sink.said if said == ("one", None)]) == 1


@pytest.mark.parametrize("name", ["../x.pt", "a/b.pt", "", "..", "é.pt", "x" * 600])
def test_a_name_that_is_none_of_ours_is_not_published(store: CheckpointStore, sink: RecordingSink, name: str) -> None:
    store.begin(job(), "one")
    store.keep(job(), "one", CheckpointSaved(step=1, file=name, digest="0", size=1))
    store.finish("one", Released())
    assert sink.wait("one") == ["Released", "NoneType"]


def test_one_that_is_gone_is_nowhere(store: CheckpointStore, sink: RecordingSink) -> None:
    gone = CheckpointRef(step=1, location="uid/00007/t-1.pt", digest="0", size=1)
    store.begin(job(gone), "one")
    (path,) = store.fetch(job(gone), "one")
    assert not path or not Path(path).exists()
    store.finish("one", Released())
    sink.wait("one")


# -- a folder


def test_what_a_killed_trainer_left_is_removed_when_the_trial_goes_on(tmp_path: Path, sink: RecordingSink) -> None:
    store = FolderStore(tmp_path, sink)
    folder = store.begin(job(), "one")
    assert folder == tmp_path / "uid" / "00007"
    saved = write(folder, 1)
    (folder / "t-2-aa.tmp").write_text("half")
    assert store.begin(job(token="u"), "two") == folder
    assert [path.name for path in folder.iterdir()] == [saved.file]


# -- elsewhere


@pytest.fixture
def far(tmp_path: Path, sink: RecordingSink) -> Iterator[CheckpointStore]:
    it = open_store("cloud://bucket/prefix", tmp_path / "scratch", sink)
    yield it
    Cloud.gate.set()
    it.close(PATIENCE)


def test_a_store_that_comes_back_gets_it_after_all(far: CheckpointStore, sink: RecordingSink) -> None:
    Cloud.away = 3
    folder = far.begin(job(), "one")
    far.keep(job(), "one", write(folder, 1))
    far.finish("one", Paused(step=1))
    assert sink.wait("one") == ["checkpoint 1", "Paused", "NoneType"]
    assert list(Cloud.store) == ["/bucket/prefix/uid/00007/t-1.pt"]


def test_after_long_enough_the_trial_goes_without_it(
    far: CheckpointStore, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_queue, "GIVE_UP_SECONDS", 0.05)
    Cloud.away = 1_000_000
    folder = far.begin(job(), "one")
    far.keep(job(), "one", write(folder, 1))
    far.finish("one", Paused(step=1))
    assert sink.wait("one") == ["Paused", "NoneType"]


def test_the_slot_is_free_while_the_last_checkpoint_is_on_its_way(far: CheckpointStore, sink: RecordingSink) -> None:
    Cloud.gate.clear()
    folder = far.begin(job(), "one")
    far.keep(job(), "one", write(folder, 1))
    far.finish("one", Paused(step=1))
    other = far.begin(job(trial=8), "two")
    far.keep(job(trial=8), "two", write(other, 1))
    far.finish("two", Released())
    assert sink.said == []
    assert far.pending
    Cloud.gate.set()
    sink.wait("two")
    assert [f"{who} {sink.short(body)}" for who, body in sink.said] == [
        *("one checkpoint 1", "one Paused", "one NoneType"),
        *("two checkpoint 1", "two Released", "two NoneType"),
    ]


def test_where_uploads_are_slower_than_saves_the_newest_is_sent(far: CheckpointStore, sink: RecordingSink) -> None:
    Cloud.gate.clear()
    folder = far.begin(job(), "one")
    far.keep(job(), "one", write(folder, 1))
    assert Cloud.entered.wait(PATIENCE)
    for step in range(2, 30):
        far.keep(job(), "one", write(folder, step))
    far.finish("one", Paused(step=29))
    Cloud.gate.set()
    assert sink.wait("one") == ["checkpoint 1", "checkpoint 29", "Paused", "NoneType"]


@pytest.mark.parametrize("outcome", [Finished(values=(1.0,)), Stopped()])
def test_the_end_of_a_trial_waits_for_no_upload(far: CheckpointStore, sink: RecordingSink, outcome: Outcome) -> None:
    Cloud.gate.clear()
    folder = far.begin(job(), "one")
    for step in (1, 2):
        far.keep(job(), "one", write(folder, step))
    assert Cloud.entered.wait(PATIENCE)
    far.finish("one", outcome)
    assert [sink.short(body) for _, body in sink.said] == [type(outcome).__name__, "NoneType"]
    Cloud.gate.set()
    far.close(PATIENCE)
    assert len(sink.said) == 2, "a checkpoint that was on its way is not announced"


def test_a_keeper_that_ends_says_the_last_word_without_the_upload(far: CheckpointStore, sink: RecordingSink) -> None:
    Cloud.gate.clear()
    folder = far.begin(job(), "one")
    far.keep(job(), "one", write(folder, 1))
    far.finish("one", Released())
    far.close(0.05)
    assert sink.wait("one") == ["Released", "NoneType"]
    Cloud.gate.set()
    far.close(PATIENCE)
    assert len(sink.said) == 2


def test_a_local_file_that_is_gone_delays_no_other_file(
    far: CheckpointStore, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_queue, "GIVE_UP_SECONDS", 0.05)
    folder = far.begin(job(), "one")
    saved = write(folder, 1)
    (folder / saved.file).unlink()
    far.keep(job(), "one", saved)
    far.finish("one", Released())
    assert sink.wait("one") == ["Released", "NoneType"]


def cut(content: bytes) -> bytes:
    return content[:-1]


def flip(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_path_that_the_objective_has_replaced_delays_no_other_file(
    far: CheckpointStore, sink: RecordingSink, tmp_path: Path, kind: str
) -> None:
    folder = far.begin(job(), "one")
    saved = write(folder, 1)
    path = folder / saved.file
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(write(tmp_path, 2).file)
    far.keep(job(), "one", saved)
    far.finish("one", Paused(step=1))
    assert sink.wait("one") == ["Paused", "NoneType"]


@pytest.mark.parametrize("damage", [cut, flip])
def test_only_a_whole_one_is_fetched_and_then_none_before_it(
    far: CheckpointStore, sink: RecordingSink, damage: Callable[[bytes], bytes]
) -> None:
    folder = far.begin(job(), "one")
    for step in (1, 2, 3):
        far.keep(job(), "one", write(folder, step))
        while far.pending:
            threading.Event().wait(0.005)
    refs = tuple(reversed(refs_of(sink)))
    files = Cloud()
    path = f"/bucket/prefix/{refs[0].location}"
    files.pipe_file(path, damage(files.cat_file(path)))
    far.begin(job(*refs), "two")
    paths = far.fetch(job(*refs), "two")
    assert (paths[0], paths[2]) == ("", "")
    assert Path(paths[1]).read_text() == "state 2"


def test_a_store_that_cannot_be_reached_gives_nothing(tmp_path: Path, sink: RecordingSink) -> None:
    store = open_store("nosuch://x", tmp_path / "scratch", sink)
    ref = CheckpointRef(step=1, location="uid/00007/t-1.pt", digest="0", size=1)
    assert store.fetch(job(ref), "one") == ("",)
    store.close(1.0)


HOLD = """
import sys, time
from pathlib import Path
from tasks.keeper.file_store import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]))
(folder.path / "t-1.pt").touch()
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_scratch_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(
    tmp_path: Path, sink: RecordingSink
) -> None:
    others = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    folders = [Path(other.stdout.readline().strip()) for other in others if other.stdout]
    others[0].kill()
    others[0].wait()
    store = open_store("cloud://bucket/prefix", tmp_path, sink)
    assert not folders[0].exists()
    assert (folders[1] / "t-1.pt").exists()
    for other in others:
        other.kill()
        other.communicate()
    store.close(1.0)


# -- URLs


@pytest.mark.parametrize(
    ("url", "folder"),
    [("/srv/x", "/srv/x"), ("file:///srv/x", "/srv/x"), ("s3://b/x", None), ("memory://", None), ("~/x", "/home/u/x")],
)
def test_which_urls_are_folders(url: str, folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    assert local_folder(url) == (Path(folder) if folder else None)


def test_a_url_that_cannot_work_is_refused_early(tmp_path: Path) -> None:
    check_url("URL", str(tmp_path / "a" / "b"))
    check_url("URL", f"file://{tmp_path}/c")
    check_url("URL", "memory://x")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for url, words in {
        "nosuch://x": "'nosuch://' cannot be used: Protocol not known",
        "s3://bucket/x": "'s3://' cannot be used: Install s3fs",
        "file://host/x": "three slashes",
        str(tmp_path / "file" / "x"): "cannot be created: Not a directory",
    }.items():
        with pytest.raises(BadSetting) as caught:
            check_url("URL", url)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
