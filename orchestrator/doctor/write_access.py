"""Whether studies can be written from this shell: rights of a role, of a user on a file, and room on its disk."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, text

from orchestrator.common.formatting import listed
from orchestrator.doctor.facts import Refusal
from orchestrator.storage import optuna_tables, own_tables
from orchestrator.storage.sqlite_files import PERMISSIONS

_TABLES = [*optuna_tables.metadata.tables, *own_tables.metadata.tables]

_DENIED = text(
    """
    SELECT relname, pg_get_userbyid(relowner) AS owner, has_table_privilege(oid, 'SELECT') AS readable
    FROM pg_class
    WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname = ANY(:names)
      AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
               AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
    ORDER BY relname
    """
)
_ROLE = text(
    "SELECT current_user AS role, current_schema() AS schema, exists(SELECT FROM pg_settings"
    " WHERE name = 'default_transaction_read_only' AND setting = 'on'"
    " AND source IN ('user', 'database user', 'client')) AS only_reads"
)
_OTHER_ROLE = "take a role that may, such as orchestrator_writer"


def refused_role(connection: Connection, url: str) -> Refusal | None:
    """Returns what the role of a PostgreSQL URL may not do with the tables of studies, if anything."""
    denied = connection.execute(_DENIED, {"names": _TABLES}).all()
    role, schema, only_reads = connection.execute(_ROLE).one()
    if not denied:
        problem = f"its role '{role}' may only read: default_transaction_read_only is on for it"
        return Refusal(problem, _OTHER_ROLE) if only_reads else None
    owner = denied[0].owner
    verb = "write" if all(row.readable for row in denied) else "read and write"
    shown = sqlalchemy.make_url(url).set(drivername="postgresql", username=owner, password=None)
    to = _quoted(role)
    grants = (
        f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {to};"
        f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {_quoted(schema)} TO {to};"
        f" GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA {_quoted(schema)} TO {to}"
    )
    return Refusal(
        f"its role '{role}' may not {verb} {listed(row.relname for row in denied)}",
        f"{_OTHER_ROLE}, or have '{owner}', who owns the tables, grant it the rights",
        f"psql {shlex.quote(shown.render_as_string(hide_password=False))} -c {shlex.quote(grants)}",
    )


def refused_file(path: Path) -> Refusal | None:
    """Returns why this user may not write an SQLite file, if that is so."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        disk = next(folder for folder in path.absolute().parents if folder.is_mount())
        mount = f"mount -o remount,rw {shlex.quote(str(disk))}"
        return Refusal(
            f"its disk {disk} is mounted read-only", "mount it for writing, or look into the kernel's log", mount
        )
    beside = [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
    files = [path.parent, *(each for each in beside if each.exists())]
    denied = [each for each in files if not os.access(each, os.W_OK)]
    if not denied:
        return None
    own = all(each.stat().st_uid == os.geteuid() for each in denied)
    problem = f"this user may not write {listed(each for each in denied)}"
    names = " ".join(shlex.quote(str(each)) for each in denied)
    if not own:
        return Refusal(problem, PERMISSIONS, f"ls -ld {names}")
    return Refusal(problem, "give it back the right", f"chmod u+w {names}")


def free_on_other_disk(path: Path, folder: Path) -> int | None:
    """Returns the free bytes of the disk on which a file is; ``None`` where a folder is on it, too."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.exists(each))
    disk = os.statvfs(path)
    return None if path.stat().st_dev == there.stat().st_dev else disk.f_bavail * disk.f_frsize


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
