"""Models and other files of trials: taken from a trainer's folder into the artifact store.

``ORCHESTRATOR_ARTIFACT_URL`` names the store: a folder, laid out as ``optuna.artifacts.FileSystemArtifactStore`` reads
it, or a URL that fsspec knows. A model is stored as soon as it is saved, the files in ``trial.artifact_dir`` when their
attempt has ended, however it ended: also by a verdict or by the death of its process. Only the control plane deletes
artifacts.

A store that fails harms no trial: the trial's log names the file, and the trial goes on without it.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.codec import artifact_id, is_location
from tasks.contract import Artifact, ArtifactRef, Attribute, Job, Outcome
from tasks.keeper.file_store import FolderFiles, RemoteFiles, ScratchFolder, local_folder
from tasks.keeper.upload_queue import EventSink, RunnerEnd, Upload, UploadQueue, publish_end
from tasks.limits import MAX_FILENAME
from tasks.trainer_messages import ModelSaved
from tasks.trial_files import FILES, MODELS, NOT_KEPT, open_log

log = logging.getLogger(__name__)

MAX_FILES = 1_000
"""Files that are kept of one attempt's ``artifact_dir``: more than that are samples or a cache, not results."""

MAX_LOST = 20
"""Models of one trial that are named as not stored."""


@dataclass(frozen=True)
class _Attempt:
    """One start of an attempt: ``folder`` holds what it saves, ``log`` is the trial's, ``lost`` are the models of the
    trial that could not be stored, each with the reason."""

    token: str
    runner: str
    folder: Path
    log: Path
    events: EventSink
    lost: dict[str, str] = field(default_factory=dict)

    def not_kept(self, kind: str, name: str, problem: object) -> None:
        reason = f"{' '.join(str(problem).split()):.300}"
        self.note(f"the {kind} '{name}' could not be kept: {reason}")
        if kind == "model" and len(self.lost) < MAX_LOST:
            self.lost[name] = reason
            self._publish_lost()

    def kept(self, ref: ArtifactRef) -> None:
        self.events.publish(self.runner, Artifact(ref=ref))
        if ref.kind == "model" and self.lost.pop(ref.filename, None) is not None:
            self._publish_lost()

    def note(self, line: str) -> None:
        """Writes a line to the trial's log and to the worker's."""
        about = {"action": "artifact_not_kept", "token": self.token}
        log.warning("%s: %s", self.log.stem, line, extra=about)
        try:
            with os.fdopen(open_log(self.log), "a", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError:
            # On a full disk, say. The worker's log has it.
            return

    def _publish_lost(self) -> None:
        self.events.publish(self.runner, Attribute(key=NOT_KEPT, value=json.dumps(self.lost)))


class ArtifactCollector:
    """Artifacts of one keeper's trials. Its methods are called in the keeper's main thread.

    A file is published once it is in the store, and a runner's outcome once all its files are. Where the store is a
    folder, the slot waits for that, as for a checkpoint that is written: the order of events then does not depend on
    how fast the disk is. A store elsewhere may take long, and the slot is free meanwhile.

    Args:
        url: URL of the store.
        scratch: Folder of this host for the scratch folders of all keepers of this data folder.
        events: Takes the events.
        on_end: Called with a runner and its outcome, behind its files.
    """

    def __init__(self, url: str, scratch: Path, events: EventSink, on_end: Callable[[str, Outcome], None]) -> None:
        folder = local_folder(url)
        self._scratch = ScratchFolder(scratch)
        self._events = events
        self._on_end = on_end
        self._waits = folder is not None
        self._attempt: _Attempt | None = None
        self._uploads = (
            UploadQueue("artifacts", RemoteFiles(url).put, one_failure_ends_all=True)
            if folder is None
            else UploadQueue("artifacts", FolderFiles(folder).put, retries=False)
        )

    @property
    def pending(self) -> bool:
        """Whether an upload is pending."""
        return self._uploads.pending

    def begin(self, job: Job, runner: str, log_file: Path) -> Path:
        """Returns the folder for what the attempt saves; ``log_file`` is the trial's."""
        found = job.user_attrs.get(NOT_KEPT)
        lost = dict(found) if isinstance(found, dict) else {}
        folder = self._scratch.path / f"artifacts-{runner}"
        self._attempt = _Attempt(job.token, runner, folder, log_file, self._events, lost)
        return folder

    def keep(self, saved: ModelSaved) -> None:
        """Stores a model of the attempt that has begun."""
        attempt = self._attempt
        if attempt is None or "/" in saved.file or not is_location(saved.file):
            # User code shares a process with what named it.
            log.error("a model was saved as %r", saved.file, extra={"action": "bad_artifact"})
            return
        self._add(attempt, attempt.folder / MODELS / saved.file, saved.name, "model")

    @property
    def has_files(self) -> bool:
        """Whether the attempt has left files, or some of it wait for the store."""
        return self.pending or (self._attempt is not None and self._attempt.folder.exists())

    def finish(self, runner: str, outcome: Outcome) -> None:
        """Stores the files that the attempt has left in its folder, then passes its outcome on."""
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
        self._uploads.add(RunnerEnd(runner, attempt.folder, lambda: self._end(runner, outcome)))
        if self._waits:
            self._uploads.wait(runner)

    def close(self, timeout: float) -> None:
        """Waits at most ``timeout`` seconds for pending uploads, then gives them up."""
        self._uploads.close(timeout)
        self._scratch.remove()

    def _end(self, runner: str, outcome: Outcome) -> None:
        try:
            self._on_end(runner, outcome)
        except Exception:  # the store of checkpoints may raise anything
            log.exception("the end of a runner is published without its checkpoints", extra={"action": "upload_failed"})
            publish_end(self._events, runner, outcome)

    def _collect(self, attempt: _Attempt) -> None:
        folder = attempt.folder / FILES
        if not _is_inside(folder, attempt.folder):
            attempt.note("artifact_dir was replaced by a link, and is not kept")
            return
        for count, path in enumerate(_files_below(folder)):
            if count == MAX_FILES:
                attempt.note(f"artifact_dir holds more than {MAX_FILES} files; the others are not kept")
                return
            # A name on the disk need not be text.
            name = os.fsencode(path.relative_to(folder)).decode(errors="replace")
            self._add(attempt, path, name, "file")

    def _add(self, attempt: _Attempt, path: Path, name: str, kind: Literal["file", "model"]) -> None:
        if not _is_inside(path.parent, attempt.folder):
            attempt.not_kept(kind, name, "the folder that it was saved to was replaced by a link")
            return
        try:
            status = path.lstat()
        except OSError as error:
            attempt.not_kept(kind, name, error)
            return
        if not stat.S_ISREG(status.st_mode):
            if kind == "model":
                attempt.not_kept(kind, name, "it is no regular file, but a link or a device")
            else:
                attempt.note(f"'{name}' in artifact_dir is not kept: it is no regular file, but a link or a device")
            return
        if len(name) > MAX_FILENAME or not name.isprintable():
            attempt.note(f"{name!r:.80} in artifact_dir is not kept: its name cannot be stored")
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
        self._uploads.add(
            Upload(
                runner=attempt.runner,
                token=attempt.token,
                path=path,
                location=ref.id,
                label=f"the {kind} '{name}'",
                key=(attempt.runner, kind, name),
                done=lambda: attempt.kept(ref),
                failed=lambda problem: attempt.not_kept(kind, name, problem),
            )
        )


def _is_inside(folder: Path, root: Path) -> bool:
    """Whether the folder really lies below ``root``, which the objective may have filled with links."""
    return Path(os.path.realpath(folder)) == Path(os.path.realpath(root.parent)) / root.name / folder.relative_to(root)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yields what lies below, in the order of names; links are not followed."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(root, name)
