"""SQLite files: checks before a file is opened, the URI that reads it, and a copy of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import URL

from orchestrator.common.errors import BadInput

OTHER_FILE: Final = "name another file in ORCHESTRATOR_STORAGE_URL, or another folder in ORCHESTRATOR_DATA_DIR"
PERMISSIONS: Final = "check whose the file and its folder are, and who may do what: ls -ld"
DAMAGED: Final = "take the last backup, or save what can be read: sqlite3 FILE .recover"
_OPTUNAS: Final = frozenset({"studies", "version_info"})


def path_of(url: URL) -> Path | None:
    """Returns the file that a URL names; ``None`` where it names none."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database.removeprefix("file:"))


def tables_in(path: Path, where: str) -> frozenset[str]:
    """Returns the names of the tables in the file; of one that is locked it is not known, and none are.

    Only SQLite opens the file. A process that opens and closes it by other means loses the locks of all its
    connections to it, and what they write from then on can be lost.

    Raises:
        BadInput: the file is none of SQLite's, is damaged, or may not be read. An empty one is SQLite's.
    """
    if path.is_dir():
        raise BadInput(where, "is a folder, not an SQLite database", OTHER_FILE)
    if not os.access(path, os.R_OK):
        raise BadInput(where, "cannot be read: Permission denied", PERMISSIONS)
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
            return frozenset(name for (name,) in connection.execute("SELECT name FROM sqlite_master"))
    except sqlite3.OperationalError:
        return frozenset()  # what it is, the proper connection will say
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise BadInput(where, "is not an SQLite database", OTHER_FILE) from None
        raise BadInput(where, f"is damaged: {error}", DAMAGED) from None


def check_writable(path: Path, where: str) -> None:
    """Raises BadInput where studies cannot be written to the file: it may not be, or is another program's."""
    if not path.exists():
        return
    found = tables_in(path, where)
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise BadInput(where, "cannot be written: Permission denied", PERMISSIONS)
    if found and not found & _OPTUNAS:
        raise BadInput(where, f"is a database of another program, with a table '{min(found)}'", OTHER_FILE)


def copy_database(path: Path, suffix: str, where: str) -> Path:
    """Copies what is committed to the file to one beside it, and returns that one; an earlier copy is replaced.

    Raises:
        BadInput: there is no room, or the folder takes no file.
    """
    copy = path.with_name(f"{path.name}.{suffix}")
    partial = path.with_name(f"{copy.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(read_only_uri(path), uri=True)) as source,
            closing(sqlite3.connect(partial)) as target,
        ):
            source.backup(target)
        shutil.copymode(path, partial)
        partial.replace(copy)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        problem = f"cannot be copied to {copy} before its upgrade: {error}"
        raise BadInput(where, problem, "make room beside it; nothing was changed") from None
    return copy


def read_only_uri(path: Path) -> str:
    """Returns the URI by which SQLite opens the file for one who only reads it.

    Where a file is in WAL mode, SQLite makes two files beside it even for that, and removes them only where it may
    write. Where it may not, and nothing else has the file open, it is read as one that never changes.
    """
    uri = f"file:{quote(str(path.absolute()))}"
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return f"{uri}?mode=rw"
    return f"{uri}?mode=ro" + ("" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1")
