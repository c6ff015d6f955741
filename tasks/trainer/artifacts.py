"""Models and other files of a trial, on the worker's own disk; the keeper takes them from there into the store."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import uuid
from pathlib import Path
from typing import IO, Any, cast

from tasks.artifact_files import FILES, MODELS
from tasks.trainer.checked_writer import CheckedWriter
from tasks.trainer_messages import ModelSaved

MAX_MODEL_NAME = 255


class ArtifactWriter:
    """What one attempt leaves behind.

    Args:
        folder: The attempt's own.
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
        """Writes a model, whole or not at all.

        Args:
            state: A module, of which the ``state_dict()`` is saved; bytes, which are written as they are; a path, whose
                file is copied; anything else is ``torch.save``'s.
            name: What the file is to be called.

        Raises:
            TypeError: torch cannot save the state, or it is text.
            FileNotFoundError: there is no file at the path.
            ValueError: the name is none.
            OSError: the disk does not take it.
        """
        _check_name(name)
        if isinstance(state, str):
            raise TypeError(f"save_model: the state is text, {state!r:.80}; a file is given as a pathlib.Path")
        if isinstance(state, os.PathLike) and not Path(state).is_file():
            raise FileNotFoundError(f"save_model: there is no file '{os.fspath(state)}'")
        self._models.mkdir(parents=True, exist_ok=True)
        path = self._models / uuid.uuid4().hex
        try:
            _write(state, path)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        return ModelSaved(name=name, file=path.name)


def _check_name(name: str) -> None:
    plain = isinstance(name, str) and name.isprintable() and not {"/", "\\"}.intersection(name)
    if not plain or name in ("", ".", "..") or len(name) > MAX_MODEL_NAME:
        raise ValueError(
            f"save_model: the name {name!r:.80} must be that of a file: "
            f"printable, at most {MAX_MODEL_NAME} characters, no slash"
        )


def _write(state: object, path: Path) -> None:
    if isinstance(state, os.PathLike):
        shutil.copyfile(state, path)
        return
    with path.open("xb") as file:
        if isinstance(state, bytes | bytearray | memoryview):
            file.write(state)
            return
        sink = CheckedWriter(file)
        _write_state(state, sink)
        # Not synced: the keeper does that when it takes the file, and nobody waits for it meanwhile.
        sink.check()


def _write_state(state: Any, sink: CheckedWriter) -> None:
    import torch

    try:
        torch.save(state.state_dict() if isinstance(state, torch.nn.Module) else state, cast("IO[bytes]", sink))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise TypeError(f"save_model: the state cannot be saved: {error}; save a state_dict()") from error
