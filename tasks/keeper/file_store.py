"""File stores: a folder, or a store that fsspec knows, which take and give whole files; and their URLs."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import shutil
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
