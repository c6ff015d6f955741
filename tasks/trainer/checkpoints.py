"""Checkpoints as files: written whole or not at all, read back only where they are what was written.

They are what ``torch.load(weights_only=True)`` reads: tensors and plain data, so that loading one runs no code of
whoever could write to the folder.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import optuna

from tasks.checkpoint_files import UNFINISHED, file_digest
from tasks.contract import CheckpointRef
from tasks.trainer.checked_writer import CheckedWriter, sync_folder
from tasks.trainer_messages import CheckpointSaved

_ALLOWED = "a checkpoint holds tensors and plain data: dict, list, tuple, str, bytes, numbers, None"


class Checkpoint(NamedTuple):
    """What ``trial.load_checkpoint()`` returns: the state as it was saved, tensors on the CPU, and its step."""

    state: Any
    step: int


class CheckpointWriter:
    """The checkpoints of one attempt.

    Args:
        folder: Takes new ones; made when the first one is saved.
        token: The attempt's; their names begin with it.
        given: The trial's checkpoints, newest first, each with its local path; empty where it could not be fetched.
    """

    def __init__(self, folder: Path, token: str, given: Sequence[tuple[CheckpointRef, str]] = ()) -> None:
        self._folder = folder
        self._token = token
        self._given = given
        self._names: set[str] = set()

    def save(self, state: object, step: int) -> CheckpointSaved:
        """Writes a checkpoint; when this returns it is on the disk under its name.

        Raises:
            TypeError: the state holds what could not be loaded again.
            OSError: it cannot be written; what was there before is untouched.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f"{self._token}-{step}-{uuid.uuid4().hex[:8]}{UNFINISHED}"
        try:
            with draft.open("xb") as file:
                sink = CheckedWriter(file)
                _write(state, sink)
                sink.sync()
            _check_loadable(draft)
            name = self._free_name(step)
            os.replace(draft, self._folder / name)
            sync_folder(self._folder)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        self._names.add(name)
        return CheckpointSaved(step=step, file=name, digest=sink.digest.hexdigest(), size=sink.size)

    def load(self) -> Checkpoint | None:
        """Returns the newest checkpoint that can be read; what is wrong with a newer one is said in the log."""
        for ref, path in self._given:
            try:
                return Checkpoint(_read(ref, path), ref.step)
            except optuna.TrialPruned:
                # A stop that came while it was read.
                raise
            except Exception as error:  # a file from elsewhere may break a reader in any way
                log_to_trial(f"the checkpoint of step {ref.step} is left out: {' '.join(str(error).split()):.300}")
        return None

    def _free_name(self, step: int) -> str:
        # A step that is saved again makes another file: the first one's digest may be on its way already.
        name = f"{self._token}-{step}.pt"
        count = 1
        while name in self._names or (self._folder / name).exists():
            count += 1
            name = f"{self._token}-{step}.{count}.pt"
        return name


def log_to_trial(line: str) -> None:
    """Writes a line to the trial's log. A log that takes none, on a full disk say, harms no trial."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _write(state: object, sink: CheckedWriter) -> None:
    import torch

    try:
        torch.save(state, cast("IO[bytes]", sink))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise TypeError(f"save_checkpoint: the state cannot be saved: {error}; {_ALLOWED}") from error


def _check_loadable(path: Path) -> None:
    """Finds out at once what would otherwise be found out when the trial is to go on."""
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


def _read(ref: CheckpointRef, path: str) -> Any:
    if not path:
        raise FileNotFoundError("it could not be fetched")
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there")
    if (size := file.stat().st_size) != ref.size:
        raise ValueError(f"{file} has {size} bytes instead of {ref.size}")
    if file_digest(file) != ref.digest:
        raise ValueError(f"{file} is not what was saved: its digest differs")
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)
