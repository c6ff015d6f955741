"""Where checkpoints are kept: a folder that is shared, or a store that is reached by copying.

``ORCHESTRATOR_CHECKPOINT_URL`` names it: a path or ``file://`` URL, or a URL that fsspec knows. Nothing is deleted
there; the control plane knows what nobody needs any more.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Protocol

from tasks.checkpoint_files import UNFINISHED
from tasks.codec import is_location
from tasks.contract import Body, Checkpoint, CheckpointRef, Failed, Job, Outcome
from tasks.trainer_messages import CheckpointSaved

log = logging.getLogger(__name__)


class BadStoreUrl(Exception):
    """Nothing can be kept at this URL; the message is one line."""


class EventSink(Protocol):
    """What a store needs of the publisher."""

    def publish(self, runner: str, body: Body) -> int: ...

    def end(self, runner: str) -> None: ...


def publish_end(voice: EventSink, runner: str, outcome: Outcome) -> None:
    """Publishes a runner's last word, or that it could not be."""
    try:
        voice.publish(runner, outcome)
    except Exception as error:  # user code may have put anything into it
        log.exception("the outcome of runner %s could not be published", runner, extra={"action": "not_published"})
        message = ascii(f"its outcome could not be published: {error}")
        voice.publish(runner, Failed(cause="died", error=type(error).__name__, message=message))
    finally:
        voice.end(runner)


class CheckpointStore(Protocol):
    """Where one keeper's checkpoints go. Its methods are called in the keeper's main thread."""

    def begin(self, job: Job, runner: str) -> Path:
        """Returns the folder that a trainer saves into."""

    def fetch(self, job: Job, runner: str) -> tuple[str, ...]:
        """Returns the job's checkpoints as local paths, in their order; empty for one that cannot be had."""

    def keep(self, job: Job, runner: str, saved: CheckpointSaved) -> None:
        """Takes in what a trainer has saved; publishes it as soon as it is where every worker finds it."""

    def finish(self, runner: str, outcome: Outcome) -> None:
        """Publishes a runner's last word, behind its checkpoints, and never waits for that."""

    @property
    def pending(self) -> bool:
        """Whether something is still on its way."""

    def close(self, timeout: float) -> None:
        """Gives what is on its way ``timeout`` seconds, then goes without it."""


class FolderStore:
    """A folder that workers share: the trainer writes right into it, and nothing is copied.

    Args:
        root: The folder.
        voice: Says what is kept.
    """

    pending = False

    def __init__(self, root: Path, voice: EventSink) -> None:
        self._root = root
        self._voice = voice

    def begin(self, job: Job, runner: str) -> Path:  # noqa: ARG002
        folder = self._root / folder_of(job)
        # What a trainer left that was killed while it saved. Should one still be at it, cut off from us, its save
        # fails, and nobody would have heard of it anyway.
        with contextlib.suppress(OSError):
            for left in folder.glob(f"*{UNFINISHED}"):
                left.unlink(missing_ok=True)
        return folder

    def fetch(self, job: Job, runner: str) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(str(self._root / ref.location) for ref in job.checkpoints)

    def keep(self, job: Job, runner: str, saved: CheckpointSaved) -> None:
        if ref := reference(job, saved):
            self._voice.publish(runner, Checkpoint(ref=ref))

    def finish(self, runner: str, outcome: Outcome) -> None:
        publish_end(self._voice, runner, outcome)

    def close(self, timeout: float) -> None:
        """Nothing is on its way."""


def folder_of(job: Job) -> str:
    """Returns the location of a trial's checkpoints."""
    return f"{job.uid}/{job.trial:05d}"


def reference(job: Job, saved: CheckpointSaved) -> CheckpointRef | None:
    """Returns what is published of a saved checkpoint; ``None`` where its name is not one of ours.

    User code shares a process with what named it, and an event that the control plane refuses would leave a gap that
    nothing closes.
    """
    location = f"{folder_of(job)}/{saved.file}"
    if "/" in saved.file or not is_location(location):
        log.error("trial %d saved a checkpoint as %r", job.trial, saved.file, extra={"action": "bad_checkpoint"})
        return None
    return CheckpointRef(step=saved.step, location=location, digest=saved.digest, size=saved.size)


def local_folder(url: str) -> Path | None:
    """Returns the folder that ``url`` names, ``None`` where it is elsewhere."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return Path(url).expanduser().absolute()
    return Path(rest) if scheme.lower() in ("file", "local") else None


def check_url(url: str) -> None:
    """Finds out early whether files can be kept at ``url``, as far as that can be told without the network.

    Raises:
        Unusable: they cannot.
    """
    folder = local_folder(url)
    if folder is None:
        import fsspec

        scheme = url.partition("://")[0]
        try:
            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as error:
            raise BadStoreUrl(f"'{scheme}://' cannot be used: {' '.join(str(error).split()):.200}") from None
        return
    if not folder.is_absolute():
        raise BadStoreUrl(f"'{url}' names a host; a path comes after three slashes: file:///path")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadStoreUrl(f"'{folder}' cannot be created: {error.strerror or error}") from None


def open_store(url: str, scratch: Path, voice: EventSink) -> CheckpointStore:
    """Returns the store at ``url``.

    Args:
        scratch: Folder of this host's own, for what is on its way to or from a store elsewhere.
        voice: Says what is kept.
    """
    folder = local_folder(url)
    if folder is not None:
        return FolderStore(folder, voice)
    from tasks.keeper.remote import RemoteStore

    return RemoteStore(url, scratch, voice)
