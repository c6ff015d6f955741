"""Files that a trial saves on its worker's disk: checkpoints and models, written whole or not at all.

Checkpoints are what ``torch.load(weights_only=True)`` reads: tensors and plain data, so that a file that was put into
the folder by another user runs no code when it is loaded. The keeper takes models and other files from the attempt's
folder into the artifact store.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, cast

import optuna

from tasks.contract import CheckpointRef
from tasks.trainer import checkpoint_folder
from tasks.trainer_messages import CheckpointSaved, ModelSaved
from tasks.trial_files import FILES, MODELS, UNFINISHED, file_digest, new_digest

MAX_MODEL_NAME = 255
_ALLOWED = "a checkpoint holds tensors and plain data: dict, list, tuple, str, bytes, numbers, None"


class Checkpoint(NamedTuple):
    """Result of ``trial.load_checkpoint()``: the state as it was saved, tensors on the CPU, and its step.

    The state of a folder is the path of a copy, which the objective may move.
    """

    state: Any
    step: int


class CheckpointWriter:
    """Writes and reads the checkpoints of one attempt.

    Args:
        folder: Folder for new ones; made when the first one is saved.
        token: Token of the attempt; their names begin with it.
        given: The trial's checkpoints, newest first, each with its local path; empty where it could not be fetched.
    """

    def __init__(self, folder: Path, token: str, given: Sequence[tuple[CheckpointRef, str]] = ()) -> None:
        self._folder = folder
        self._token = token
        self._given = given
        self._names: set[str] = set()

    def save(self, state: object, step: int) -> CheckpointSaved:
        """Writes a checkpoint; on return it is on the disk under its name.

        Raises:
            TypeError: the state holds what could not be loaded again.
            OSError: it cannot be written, or is a folder that changes meanwhile; what was there before is untouched.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f"{self._token}-{step}-{uuid.uuid4().hex[:8]}{UNFINISHED}"
        with _removed_on_error(draft):
            writer = _write_folder(state, draft) if isinstance(state, Path) else _write_state(state, draft)
            name = self._free_name(step)
            os.replace(draft, self._folder / name)
            _sync_folder(self._folder)
        self._names.add(name)
        return CheckpointSaved(step=step, file=name, digest=writer.digest.hexdigest(), size=writer.size)

    def load(self) -> Checkpoint | None:
        """Returns the newest checkpoint that can be read; logs why a newer one cannot."""
        for ref, path in self._given:
            try:
                return Checkpoint(self._read(ref, path), ref.step)
            except optuna.TrialPruned:
                # A stop that came while it was read.
                raise
            except Exception as error:  # a file from elsewhere may break a reader in any way
                log_to_trial(f"the checkpoint of step {ref.step} is left out: {' '.join(str(error).split()):.300}")
        return None

    def _read(self, ref: CheckpointRef, path: str) -> Any:
        _check_file(ref, path)
        if checkpoint_folder.is_packed(Path(path)):
            folder = self._folder / f"{self._token}-resumed-{uuid.uuid4().hex[:8]}"
            checkpoint_folder.unpack(Path(path), folder)
            return folder
        import torch

        return torch.load(path, map_location="cpu", weights_only=True)

    def _free_name(self, step: int) -> str:
        # A step that is saved again makes another file: the digest of the first one may be published already.
        name = f"{self._token}-{step}.pt"
        count = 1
        while name in self._names or (self._folder / name).exists():
            count += 1
            name = f"{self._token}-{step}.{count}.pt"
        return name


class ArtifactWriter:
    """Writes the models of one attempt, and holds the folder for its other files.

    Args:
        folder: Folder of the attempt.
    """

    def __init__(self, folder: Path) -> None:
        self._models = folder / MODELS
        self._files = folder / FILES

    @property
    def folder(self) -> Path:
        """The folder whose files are kept when the attempt has ended; made when it is first asked for.

        Raises:
            OSError: it cannot be made.
        """
        self._files.mkdir(parents=True, exist_ok=True)
        return self._files

    def save(self, state: object, name: str) -> ModelSaved:
        """Writes a model.

        Args:
            state: A module, whose ``state_dict()`` is saved; bytes, which are written as they are; a path, whose file
                is copied; anything else that ``torch.save`` takes.
            name: Name of the file.

        Raises:
            TypeError: torch cannot save the state, or it is text.
            FileNotFoundError: there is no file at the path.
            ValueError: the name is not the name of a file.
            OSError: it cannot be written.
        """
        _check_name(name)
        if isinstance(state, str):
            raise TypeError(f"save_model: the state is text, {state!r:.80}; a file is given as a pathlib.Path")
        if isinstance(state, os.PathLike) and not Path(state).is_file():
            raise FileNotFoundError(f"save_model: there is no file '{os.fspath(state)}'")
        self._models.mkdir(parents=True, exist_ok=True)
        path = self._models / uuid.uuid4().hex
        with _removed_on_error(path):
            _write_model(state, path)
        return ModelSaved(name=name, file=path.name)


class CheckedWriter:
    """File object for ``torch.save``: counts and digests what is written, and keeps the first error for ``check``.

    The writer of torch is C++ that calls back; an exception on its way through there could end the process.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.digest = new_digest()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        length = memoryview(data).nbytes
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
            self.digest.update(data)
            self.size += length
        return length

    def flush(self) -> None:
        """Does nothing: ``check`` flushes, and raises what went wrong."""

    def check(self) -> None:
        """Flushes the file. Raises the OSError that a write has met."""
        if self._error is not None:
            raise self._error
        self._file.flush()


def log_to_trial(line: str) -> None:
    """Writes a line to the trial's log. A log that takes none, on a full disk say, harms no trial."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def _torch_save(state: object, writer: CheckedWriter, where: str, remedy: str) -> None:
    import torch

    try:
        torch.save(state, cast("IO[bytes]", writer))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise TypeError(f"{where}: the state cannot be saved: {error}; {remedy}") from error


def _sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_name(name: str) -> None:
    plain = isinstance(name, str) and name.isprintable() and not {"/", "\\"}.intersection(name)
    if not plain or name in ("", ".", "..") or len(name) > MAX_MODEL_NAME:
        raise ValueError(
            f"save_model: the name {name!r:.80} must be that of a file: "
            f"printable, at most {MAX_MODEL_NAME} characters, no slash"
        )


def _write_model(state: object, path: Path) -> None:
    if isinstance(state, os.PathLike):
        shutil.copyfile(state, path)
        return
    with path.open("xb") as file:
        if isinstance(state, bytes | bytearray | memoryview):
            file.write(state)
            return
        import torch

        writer = CheckedWriter(file)
        saved = state.state_dict() if isinstance(state, torch.nn.Module) else state
        _torch_save(saved, writer, "save_model", "save a state_dict()")
        # Not synced: the keeper does that when it takes the file, and training goes on meanwhile.
        writer.check()


def _write_state(state: object, path: Path) -> CheckedWriter:
    with path.open("xb") as file:
        writer = CheckedWriter(file)
        _torch_save(state, writer, "save_checkpoint", _ALLOWED)
        writer.check()
        os.fsync(file.fileno())
    _check_loadable(path)
    return writer


def _write_folder(folder: Path, path: Path) -> CheckedWriter:
    for tries_left in reversed(range(checkpoint_folder.TRIES)):
        with path.open("wb") as file:
            writer = CheckedWriter(file)
            try:
                checkpoint_folder.pack(folder, writer)
            except checkpoint_folder.FolderChanged:
                if not tries_left:
                    raise
                continue
            writer.check()
            os.fsync(file.fileno())
        break
    return writer


def _check_loadable(path: Path) -> None:
    """Raises TypeError now for a checkpoint that could not be loaded when the trial is to go on."""
    import torch

    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except pickle.UnpicklingError as error:
        raise TypeError(f"save_checkpoint: the state could not be loaded again: {error}; {_ALLOWED}") from error
    if not found:
        return
    if any(name.startswith("numpy.") for name in found):
        raise TypeError(
            "save_checkpoint: the state holds a NumPy array or number; convert it with torch.from_numpy() or .tolist()"
        )
    # Helpers of pickle's own say nothing about what it was.
    names = [name for name in sorted(found) if not name.startswith(("copyreg.", "builtins.getattr"))] or sorted(found)
    remedy = "save its state_dict(); " if any(name.startswith("torch.") for name in names) else ""
    raise TypeError(f"save_checkpoint: the state holds {', '.join(names[:3])}; {remedy}{_ALLOWED}")


def _check_file(ref: CheckpointRef, path: str) -> None:
    if not path:
        raise FileNotFoundError("it could not be fetched")
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there")
    if (size := file.stat().st_size) != ref.size:
        raise ValueError(f"{file} has {size} bytes instead of {ref.size}")
    if file_digest(file) != ref.digest:
        raise ValueError(f"{file} is not what was saved: its digest differs")
