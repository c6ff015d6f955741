"""The code bundles of a worker: fetched from Redis, verified, unpacked into a folder of the worker's own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import redis

from tasks import redis_keys
from tasks.app import as_bytes
from tasks.code_bundle import BadBundle, CodeBundle, shown_reference, split_reference, unpack
from tasks.codec import Malformed, decode_code
from tasks.objective_allowlist import Allowlist
from tasks.server_errors import is_wrong_type, unavailable
from tasks.signing import Keyring, Purpose, Unsigned

MOST_BYTES: Final = 2 << 30
"""Bytes of all bundles in a data folder; above it those that were not used for longest are deleted."""

POLL_SECONDS: Final = 0.05
WAIT_SECONDS: Final = 60.0
"""Longest wait for a bundle that the control plane was asked for; then the trial is handed back."""

STALE_SECONDS: Final = 3_600.0
"""Age at which a folder that a bundle was being unpacked into belongs to no living keeper."""

MOST_HELD: Final = 8
"""Bundles that one keeper holds, in memory and against their deletion; the one that was not used for longest goes."""

_UNPACKING = ".unpacking-"
_MESSAGE = ".bundle"
_LOCK = ".lock"


class CodeRefused(Exception):
    """A bundle is not run here; the message is one line."""


class _Spoilt(CodeRefused):
    """Redis holds no valid bundle under this name: any client may have written it. The control plane replaces it."""


class CodeMissing(Exception):
    """A bundle is not to be had for now."""


class CodeStore:
    """Bundles below one folder, which other keepers of this host may share.

    A bundle lies in ``DIGEST``, with the message that it came in beside it as ``DIGEST.bundle``. A keeper holds a
    shared lock of ``DIGEST.lock`` while it may still train with the bundle, so that no other one deletes it.

    Args:
        folder: The folder.
        client: Redis.
        allowlist: Says whose bundles are run.
        keyring: Verifies them.
    """

    def __init__(self, folder: Path, client: redis.Redis, allowlist: Allowlist, keyring: Keyring) -> None:
        self._folder = folder
        self._client = client
        self._allowlist = allowlist
        self._keyring = keyring
        self._held: OrderedDict[str, tuple[IO[bytes], CodeBundle]] = OrderedDict()
        # The files as they were when they were last compared: large data is not read for each trial.
        self._stamps: dict[Path, tuple[int, ...]] = {}

    def folders(
        self, reference: str, ask: Callable[[], None] | None = None, leaves: Callable[[], bool] = lambda: False
    ) -> tuple[str, ...]:
        """Returns the import folders of the bundle that a reference names; none where it names no bundle.

        Args:
            reference: The objective of a job.
            ask: Asks the control plane to put the bundle into Redis; without it the bundle has to be there.
            leaves: Whether the keeper gives the job up, which ends the wait.

        Raises:
            CodeRefused: it is not admitted, not signed as it has to be, or broken.
            CodeMissing: it did not come in time.
            OSError: it cannot be written.
        """
        found = split_reference(reference)
        if found is None:
            return ()
        if why := self._allowlist.refuse(reference):
            raise CodeRefused(why)
        digest, objective = found
        if digest in self._held:
            self._held.move_to_end(digest)
        else:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._locked(digest)
            try:
                self._held[digest] = lock, self._take(reference, digest, ask, leaves)
            except BaseException:
                lock.close()
                raise
            self._let_go(MOST_HELD)
        bundle = self._held[digest][1]
        if bundle.objective != objective:
            raise CodeRefused(f"{shown_reference(reference)}: the bundle's objective is '{bundle.objective:.200}'")
        folder = self._folder / digest
        if not self._is_whole(folder, bundle):
            # An objective runs as the same user, and may have changed it.
            self._write(folder, bundle)
        return tuple(str(folder / path) if path else str(folder) for path in bundle.paths)

    def close(self) -> None:
        """Lets other keepers delete what this one has used."""
        self._let_go(0)

    def _let_go(self, most: int) -> None:
        while len(self._held) > most:
            digest, (lock, bundle) = self._held.popitem(last=False)
            lock.close()
            for file in bundle.files:
                self._stamps.pop(self._folder / digest / file.path, None)

    def _take(
        self, reference: str, digest: str, ask: Callable[[], None] | None, leaves: Callable[[], bool]
    ) -> CodeBundle:
        kept = self._folder / f"{digest}{_MESSAGE}"
        try:
            return self._verified(reference, digest, kept.read_bytes())
        except (OSError, CodeRefused):
            # None is there, or it was signed with a key that counts no more.
            sealed, bundle = self._fetch(reference, digest, ask, leaves)
        self._make_room(len(sealed) + bundle.size)
        self._write(self._folder / digest, bundle)
        with self._temporary() as temporary:
            (temporary / "message").write_bytes(sealed)
            os.replace(temporary / "message", kept)
        return bundle

    def _fetch(
        self, reference: str, digest: str, ask: Callable[[], None] | None, leaves: Callable[[], bool]
    ) -> tuple[bytes, CodeBundle]:
        """Returns the message that a bundle came in, and the bundle."""
        deadline = time.monotonic() + WAIT_SECONDS
        asked = 0.0
        spoilt: bytes | None = None
        why: CodeRefused | None = None
        while True:
            found = self._read(digest)
            if found is not None and found != spoilt:
                try:
                    return found, self._verified(reference, digest, found)
                except _Spoilt as error:
                    # Signed with a key that was replaced, or written by another client.
                    spoilt, why = found, error
            late = time.monotonic() > deadline
            if why is not None and (ask is None or (late and not self._keyring)):
                raise why
            if ask is None or late or leaves():
                raise CodeMissing(f"code bundle {digest[:12]} is not in Redis" if why is None else str(why))
            if time.monotonic() >= asked + 1:
                asked = time.monotonic()
                ask()
            time.sleep(POLL_SECONDS)

    def _read(self, digest: str) -> bytes | None:
        """Returns what Redis has of a bundle; ``None`` where it has nothing, or does not answer now."""
        try:
            found = self._client.get(redis_keys.code(digest))
        except redis.exceptions.NoPermissionError:
            problem = (
                "this worker's user of Redis may not read code bundles; print its ACL file anew, by docker/redis/acl.sh"
            )
            raise CodeRefused(problem) from None
        except redis.RedisError as error:
            # What else is under the key is replaced when the bundle is put there.
            if unavailable(error) is None and not is_wrong_type(error):
                raise
            return None
        return None if found is None else as_bytes(found)

    def _verified(self, reference: str, digest: str, sealed: bytes) -> CodeBundle:
        """Returns the bundle of a message. Raises CodeRefused, of what another client may have written _Spoilt."""
        try:
            message = decode_code(self._keyring.open(Purpose.CODE, sealed, digest))
            signers = self._keyring.signers(Purpose.AUTHOR, digest.encode(), message.author)
            # Nothing is unpacked that is not run.
            if why := self._allowlist.refuse_signed(reference, signers):
                raise CodeRefused(why)
            return unpack(message.archive, digest)
        except (Malformed, BadBundle) as error:
            kind = _Spoilt if isinstance(error, Unsigned) or not self._keyring else CodeRefused
            raise kind(f"{shown_reference(reference)}: it is refused: {error}") from None

    def _is_whole(self, folder: Path, bundle: CodeBundle) -> bool:
        """Whether the files of a bundle are there as they were sent, and plain files."""
        try:
            return folder.is_dir() and all(self._is_plain(folder / file.path, file.data) for file in bundle.files)
        except OSError:
            return False

    def _is_plain(self, path: Path, data: bytes) -> bool:
        stamp = _stamp(path)
        if self._stamps.get(path) != stamp:
            if not stat.S_ISREG(stamp[0]) or path.read_bytes() != data:
                return False
            self._stamps[path] = stamp
        return True

    def _write(self, folder: Path, bundle: CodeBundle) -> None:
        """Writes the files beside, and puts them into their place at once."""
        with self._temporary() as temporary:
            for file in bundle.files:
                path = temporary / "files" / file.path
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as written:
                    written.write(file.data)
            (temporary / "files").mkdir(exist_ok=True)
            try:
                os.rename(temporary / "files", folder)
            except OSError:
                # Another keeper was faster, and its trainer may read the files now; or they were changed.
                if self._is_whole(folder, bundle):
                    return
                with contextlib.suppress(FileNotFoundError):
                    os.rename(folder, temporary / "old")
                try:
                    os.rename(temporary / "files", folder)
                except OSError:
                    if not self._is_whole(folder, bundle):
                        raise

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        path = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=self._folder))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _locked(self, digest: str) -> IO[bytes]:
        lock = open(self._folder / f"{digest}{_LOCK}", "ab")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(lock.name)
        return lock

    def _make_room(self, needed: int) -> None:
        """Deletes bundles that no keeper uses, those that were not used for longest first, down to ``MOST_BYTES``; and
        what a keeper that was killed has left half unpacked."""
        for left in self._folder.glob(f"{_UNPACKING}*"):
            if time.time() - _used_at(left) > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        locks = sorted(self._folder.glob(f"*{_LOCK}"), key=_used_at)
        sizes = {
            lock: sum(map(_size, [*lock.with_suffix("").rglob("*"), lock.with_suffix(_MESSAGE)])) for lock in locks
        }
        total = needed + sum(sizes.values())
        for lock in locks:
            if total <= MOST_BYTES:
                return
            with contextlib.suppress(OSError), open(lock, "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.with_suffix(_MESSAGE).unlink(missing_ok=True)
                total -= sizes[lock]


def _stamp(path: Path) -> tuple[int, ...]:
    # With the time of the last change of the inode, which no program can set back.
    found = path.lstat()
    return found.st_mode, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
