"""Saving models and files, as an objective meets it: what is written, what is refused, what is said to the keeper."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from tasks.codec import decode_event, encode
from tasks.contract import Artifact, Event, Job
from tasks.trainer import file_writers
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter, TrialStopped
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import ModelSaved
from tasks.trial_files import FILES, MODELS
from tests.later import Later

torch = Later("torch")


class TrialAttempt:
    """One trial, and what it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "attempt"
        self.said: list[Any] = []
        self.interrupter = Interrupter()
        self.interrupter.install()
        self.trial = WorkerTrial(
            Job(study="s", uid="u", trial=3, token="t", attempt=1, objective="m:f", directions=("minimize",)),
            KeeperChannel(self.said.append, self.interrupter),
            CheckpointWriter(folder / "checkpoints", "t"),
            ArtifactWriter(self.folder),
        )

    @property
    def saved(self) -> dict[str, Path]:
        """The newest model of each name."""
        return {each.name: self.folder / MODELS / each.file for each in self.said if isinstance(each, ModelSaved)}

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[TrialAttempt]:
    before = signal.getsignal(signal.SIGUSR2)
    yield TrialAttempt(tmp_path)
    signal.signal(signal.SIGUSR2, before)


def test_a_state_dict_and_a_module_are_saved_as_torch_saves_them(attempt: TrialAttempt) -> None:
    model = torch.nn.Linear(2, 1)
    attempt.trial.save_model(model.state_dict())
    attempt.trial.save_model(model, "module.pt")
    assert list(attempt.saved) == ["model.pt", "module.pt"]
    for path in attempt.saved.values():
        state = torch.load(path, weights_only=True)
        torch.testing.assert_close(state, dict(model.state_dict()))
        torch.nn.Linear(2, 1).load_state_dict(state)


def test_anything_else_that_torch_takes(attempt: TrialAttempt) -> None:
    attempt.trial.save_model({"epoch": 3, "weights": torch.ones(2)}, name="all of it.ckpt")
    assert torch.load(attempt.saved["all of it.ckpt"], weights_only=True)["epoch"] == 3


@pytest.mark.parametrize("state", [b"\x00model", bytearray(b"\x00model"), memoryview(b"\x00model")])
def test_bytes_are_written_as_they_are(attempt: TrialAttempt, state: Any) -> None:
    attempt.trial.save_model(state, "model.onnx")
    assert attempt.saved["model.onnx"].read_bytes() == b"\x00model"


def test_a_file_is_copied_and_may_change_afterwards(attempt: TrialAttempt, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_text("one")
    attempt.trial.save_model(mine, "a.bin")
    mine.write_text("two")
    assert attempt.saved["a.bin"].read_text() == "one"


def test_one_that_is_saved_again_is_another_file(attempt: TrialAttempt) -> None:
    for text in (b"one", b"two"):
        attempt.trial.save_model(text)
    assert len({each.file for each in attempt.said}) == 2
    assert attempt.saved["model.pt"].read_bytes() == b"two"


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (lambda: "model.pt", TypeError, "a file is given as a pathlib.Path"),
        (lambda: Path("/no/such/file"), FileNotFoundError, "there is no file '/no/such/file'"),
        (lambda: Path("/tmp"), FileNotFoundError, "there is no file '/tmp'"),
        (lambda: {"hook": lambda: 0}, TypeError, "the state cannot be saved: .*save a state_dict"),
        (lambda: threading.Lock(), TypeError, "the state cannot be saved"),
    ],
)
def test_what_cannot_be_saved_is_the_objectives_error(
    attempt: TrialAttempt, state: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"save_model: .*{words}"):
        attempt.trial.save_model(state())
    assert attempt.said == []
    assert attempt.files() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.pt", "/a.pt", "a\\b", "a\nb", "x" * 256, 3, None])
def test_a_name_is_that_of_a_file(attempt: TrialAttempt, name: Any) -> None:
    with pytest.raises(ValueError, match="save_model: the name"):
        attempt.trial.save_model(b"", name)
    assert attempt.said == []


def test_a_full_disk_is_said_and_training_goes_on(attempt: TrialAttempt, capsys: pytest.CaptureFixture[str]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        attempt.trial.save_model(torch.zeros(1 << 16))
        attempt.trial.save_model(bytes(1 << 17), "raw.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert (attempt.said, attempt.files()) == ([], [])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("the model 'model.pt' could not be written, training goes on: ")
    assert "File too large" in first
    assert second.startswith("the model 'raw.bin' could not be written")
    attempt.trial.save_model(b"small")
    assert len(attempt.files()) == 1


def test_the_folder_is_there_when_it_is_first_used(attempt: TrialAttempt) -> None:
    assert not attempt.folder.exists()
    folder = attempt.trial.artifact_dir
    assert folder == attempt.trial.artifact_dir == attempt.folder / FILES
    assert folder.is_dir()
    assert isinstance(folder, Path)
    assert attempt.said == []


def test_a_stop_waits_until_the_model_is_written(attempt: TrialAttempt, monkeypatch: pytest.MonkeyPatch) -> None:
    write = file_writers._write_model

    def slowly(state: object, path: Path) -> None:
        attempt.interrupter.stop("t")
        threading.Event().wait(0.12)  # longer than until the signal is sent again
        write(state, path)

    monkeypatch.setattr(file_writers, "_write_model", slowly)
    with pytest.raises(TrialStopped), attempt.interrupter.running("t"):
        attempt.trial.save_model(b"whole")
    assert attempt.saved["model.pt"].read_bytes() == b"whole"


# -- an objective's own store


def test_optunas_upload_works_unchanged(attempt: TrialAttempt, tmp_path: Path) -> None:
    store = FileSystemArtifactStore(tmp_path)
    mine = tmp_path / "säge.csv.gz"
    mine.write_text("x")
    id = upload_artifact(artifact_store=store, file_path=str(mine), study_or_trial=attempt.trial)
    assert (tmp_path / id).read_text() == "x"
    (said,) = attempt.said
    assert isinstance(said, Artifact)
    ref = said.ref
    assert (ref.id, ref.filename, ref.mimetype, ref.encoding) == (id, "säge.csv.gz", "text/csv", "gzip")
    assert ref.kind == "elsewhere"
    event = Event(token="t", runner="r", seq=1, body=said)
    assert decode_event(encode(event)) == event
    assert [meta.artifact_id for meta in get_all_artifact_meta(attempt.trial)] == [id]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fixed_params", {}),
        ("artifacts:a", "{}"),
        ("artifacts:a", "no JSON"),
        ("artifacts:a", None),
        ("artifacts:a", '{"artifact_id": "b", "filename": "f", "mimetype": "m", "encoding": null}'),
        ("artifacts:a/b", '{"artifact_id": "a/b", "filename": "f", "mimetype": "m", "encoding": null}'),
        ("artifacts:a", '{"artifact_id": "a", "filename": "' + 401 * "f" + '", "mimetype": "m", "encoding": null}'),
        ("artifacts:a", '{"artifact_id": "a", "filename": "\\ud800", "mimetype": "m", "encoding": null}'),
    ],
)
def test_what_is_no_record_of_an_artifact_is_refused(attempt: TrialAttempt, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"by the search alone|not the record|cannot be stored"):
        attempt.trial.storage.set_trial_system_attr(3, key, value)
    assert attempt.said == []


def test_there_is_no_database_behind_it(attempt: TrialAttempt) -> None:
    with pytest.raises(RuntimeError, match="cannot change another trial"):
        attempt.trial.storage.set_trial_system_attr(4, "artifacts:a", "{}")
    with pytest.raises(KeyError, match="No trial"):
        attempt.trial.storage.get_trial_system_attrs(4)
    assert isinstance(attempt.trial, optuna.Trial)
