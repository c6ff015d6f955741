"""Models and other files of trials, on their way from a trainer's folder into the artifact store.

``ORCHESTRATOR_ARTIFACT_URL`` names the store: a folder, laid out as ``optuna.artifacts.FileSystemArtifactStore`` reads
it, or a URL that fsspec knows. A model is taken in as soon as it is saved, what lies in ``trial.artifact_dir`` when
its attempt has ended, whatever the end was: also where a verdict stopped it, or where its process died. Nothing is
deleted there; the control plane knows what nobody needs any more.

Trouble with the store harms no trial. It is said in the trial's log, and the trial goes without the file.
"""

from __future__ import annotations

import logging
import mimetypes
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from tasks.artifact_files import FILES, MODELS, NOT_KEPT
from tasks.codec import artifact_id, is_location
from tasks.contract import MAX_FILENAME, ArtifactRef, Job, Outcome
from tasks.keeper.artifact_uploads import GIVE_UP_SECONDS, Attempt, End, Upload, Uploads, not_kept, note
from tasks.keeper.checkpoints import EventSink, local_folder
from tasks.keeper.file_store import FolderFiles, RemoteFiles
from tasks.keeper.scratch import ScratchFolder
from tasks.trainer_messages import ModelSaved

log = logging.getLogger(__name__)

MAX_FILES = 1_000
"""Files that are kept of one attempt's ``artifact_dir``: more than that are samples or a cache, not results."""


class ArtifactCollector:
    """What one keeper's trials leave behind. Its methods are called in the keeper's main thread.

    A file is published when it is where everybody finds it, and a runner's end when all its files have been. Where
    the store is a folder, the slot waits for that, as for a checkpoint that is written: the order of events then does
    not depend on how fast the disk is. A store elsewhere may take long, and the slot is free meanwhile.

    Args:
        url: The store.
        scratch: Folder of this host's own, for the scratch folders of all keepers of this data folder.
        voice: Says what is kept.
        on_end: Is told a runner's outcome, behind its files.
    """

    def __init__(self, url: str, scratch: Path, voice: EventSink, on_end: Callable[[str, Outcome], None]) -> None:
        folder = local_folder(url)
        self._scratch = ScratchFolder(scratch)
        self._voice = voice
        self._on_end = on_end
        self._waits = folder is not None
        self._attempt: Attempt | None = None
        self._uploads = (
            Uploads(RemoteFiles(url), GIVE_UP_SECONDS, voice, on_end)
            if folder is None
            else Uploads(FolderFiles(folder), 0.0, voice, on_end)
        )

    @property
    def pending(self) -> bool:
        """Whether something is still on its way."""
        return self._uploads.pending

    def begin(self, job: Job, runner: str, log_file: Path) -> Path:
        """Returns the folder for what the attempt saves; ``log_file`` is the trial's."""
        lost = job.user_attrs.get(NOT_KEPT)
        self._attempt = Attempt(
            job.token,
            runner,
            self._scratch.path / f"artifacts-{runner}",
            log_file,
            self._voice,
            dict(lost) if isinstance(lost, dict) else {},
        )
        return self._attempt.folder

    def keep(self, saved: ModelSaved) -> None:
        """Takes in a model of the attempt that has begun."""
        attempt = self._attempt
        if attempt is None or "/" in saved.file or not is_location(saved.file):
            # User code shares a process with what named it.
            log.error("a model was saved as %r", saved.file, extra={"action": "bad_artifact"})
            return
        self._add(attempt, attempt.folder / MODELS / saved.file, saved.name, "model")

    def finish(self, runner: str, outcome: Outcome) -> None:
        """Takes in what the attempt has left in its folder; tells its outcome when all of it is kept."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            # It was refused before it began.
            self._on_end(runner, outcome)
            return
        self._collect(attempt)
        if not self._uploads.has(runner):
            shutil.rmtree(attempt.folder, ignore_errors=True)
            self._on_end(runner, outcome)
            return
        self._uploads.add(End(attempt, outcome))
        if self._waits:
            self._uploads.wait(runner)

    def close(self, timeout: float) -> None:
        """Gives what is on its way ``timeout`` seconds, then goes without it."""
        self._uploads.close(timeout)
        self._scratch.remove()

    def _collect(self, attempt: Attempt) -> None:
        folder = attempt.folder / FILES
        if not _is_inside(folder, attempt.folder):
            note(attempt, "artifact_dir was replaced by a link, and is not kept")
            return
        for count, path in enumerate(_files_below(folder)):
            if count == MAX_FILES:
                note(attempt, f"artifact_dir holds more than {MAX_FILES} files; the others are not kept")
                return
            # A name on the disk need not be text.
            name = os.fsencode(path.relative_to(folder)).decode(errors="replace")
            self._add(attempt, path, name, "file")

    def _add(self, attempt: Attempt, path: Path, name: str, kind: Literal["file", "model"]) -> None:
        if not _is_inside(path.parent, attempt.folder):
            not_kept(attempt, kind, name, "the folder that it was saved to was replaced by a link")
            return
        try:
            status = path.lstat()
        except OSError as error:
            not_kept(attempt, kind, name, error)
            return
        if not stat.S_ISREG(status.st_mode):
            if kind == "model":
                not_kept(attempt, kind, name, "it is no regular file, but a link or a device")
            else:
                note(attempt, f"'{name}' in artifact_dir is not kept: it is no regular file, but a link or a device")
            return
        if len(name) > MAX_FILENAME or not name.isprintable():
            note(attempt, f"{name!r:.80} in artifact_dir is not kept: its name cannot be stored")
            return
        # Not of a model: the common .pt is registered for something else.
        mimetype, encoding = (None, None) if kind == "model" else mimetypes.guess_type(name)
        ref = ArtifactRef(
            id=artifact_id(attempt.token, uuid.uuid4().hex[:12]),
            filename=name,
            mimetype=mimetype or "application/octet-stream",
            encoding=encoding,
            size=status.st_size,
            kind=kind,
        )
        self._uploads.add(Upload(attempt, path, ref))


def _is_inside(folder: Path, root: Path) -> bool:
    """Whether the folder really lies below ``root``, which the objective may have filled with links."""
    return Path(os.path.realpath(folder)) == Path(os.path.realpath(root.parent)) / root.name / folder.relative_to(root)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yields what lies below, in the order of names; links are not followed."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(root, name)
