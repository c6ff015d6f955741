"""File stores: a folder, or a store that fsspec knows, which take and give whole files; their URLs; and
the folder for files on their way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import posixpath
import shutil
import uuid
from pathlib import Path
from typing import Any

from tasks.data_folder import missing_package
from tasks.metrics_endpoint import BadSetting
from tasks.trial_files import UNFINISHED, open_regular


def local_folder(url: str) -> Path | None:
    """Returns the folder that ``url`` names, ``None`` where it is elsewhere."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return Path(url).expanduser().absolute()
    return Path(rest) if scheme.lower() in ("file", "local") else None


def check_url(variable: str, url: str) -> None:
    """Finds out early whether files can be kept at ``url``, as far as that can be told without the network.

    Raises:
        BadSetting: they cannot; ``variable`` is the setting that holds the URL.
    """
    folder = local_folder(url)
    if folder is None:
        if why := missing_package(url):
            raise BadSetting(variable, why)
        return
    if not folder.is_absolute():
        raise BadSetting(variable, f"'{url}' names a host", "a path comes after three slashes: file:///path")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSetting(variable, f"'{folder}' cannot be created: {error.strerror or error}") from None


class RemoteFiles:
    """A store that fsspec knows: connected when first needed, and anew after an error.

    Its methods raise whatever the store raises.

    Args:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: tuple[Any, str] | None = None

    def get(self, location: str, path: Path) -> None:
        files, root = self._open()
        with self._anew_after_an_error():
            files.invalidate_cache()
            files.get_file(posixpath.join(root, location), str(path))

    def put(self, path: Path, location: str) -> None:
        # A store opens it by its name, and would wait at a named pipe.
        os.close(open_regular(path))
        files, root = self._open()
        where = posixpath.join(root, location)
        with self._anew_after_an_error():
            try:
                files.put_file(str(path), where)
            except FileNotFoundError:
                # Made only when they are missed: an object store has no folders, and asking costs a round trip.
                files.makedirs(posixpath.dirname(where), exist_ok=True)
                files.put_file(str(path), where)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            # Imported where it is needed: a folder needs none of it.
            import fsspec

            self._opened = fsspec.core.url_to_fs(self._url, skip_instance_cache=True)
        return self._opened

    @contextlib.contextmanager
    def _anew_after_an_error(self) -> Any:
        try:
            yield
        except Exception:
            self._opened = None
            raise


class FolderFiles:
    """A folder. What is put there is moved, and under its name it is whole.

    Args:
        root: The folder; made when something is put there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: Path, location: str) -> None:
        """Moves a regular file; on return it is on the disk.

        Raises:
            OSError: it cannot be; the file stays where it was.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        _sync(open_regular(path))
        try:
            os.replace(path, self._root / location)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(path, location)
        _sync(os.open(self._root, os.O_RDONLY))

    def _copy(self, path: Path, location: str) -> None:
        draft = self._root / f"{location}{UNFINISHED}"
        try:
            with os.fdopen(open_regular(path), "rb") as source, draft.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            _sync(open_regular(draft))
            os.replace(draft, self._root / location)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class ScratchFolder:
    """A folder below ``root``, locked as long as this keeper lives; removes the folders of dead keepers.

    One that cannot be made now, or has been removed, is made when it is asked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path: Path | None = None
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._make()

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            OSError: it cannot be made.
        """
        if self._path is None or not self._path.is_dir():
            self.remove()
            self._make()
        assert self._path is not None
        return self._path

    def _make(self) -> None:
        root = self._root
        root.mkdir(parents=True, exist_ok=True)
        # Under one lock: a folder that is made but not locked yet would be taken for a dead keeper's.
        with _locked(root):
            for each in root.iterdir():
                if each.is_dir() and (fd := _lock(each)) is not None:
                    shutil.rmtree(each, ignore_errors=True)
                    os.close(fd)
            path = root / f"keeper-{uuid.uuid4().hex[:12]}"
            path.mkdir()
            self._fd = _lock(path)
            self._path = path

    def remove(self) -> None:
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@contextlib.contextmanager
def _locked(folder: Path) -> Any:
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _lock(folder: Path) -> int | None:
    try:
        # O_DIRECTORY: to open a named pipe in its place would wait.
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
