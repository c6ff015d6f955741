"""docs/security.md, followed from beginning to end by a user with a Redis and a PostgreSQL server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import clean_shell
import pytest
import redis
from clean_shell import run_script
from fleet import PATIENCE, ROOT, wait_for

from tests.installed import require, require_redis_with_tls
from tests.pages import Block, all_blocks, command_lines, simple_commands
from tests.servers import PostgreSQL, free_port, listens

NEEDED = ("openssl", "psql", "redis-cli", "redis-server")

BLOCKS = all_blocks("test_security_page")
REDIS_USER = """
import os
import redis
client = redis.Redis.from_url(os.environ["ORCHESTRATOR_REDIS_URL"])
client.ping()
print(client.get_connection_kwargs()["username"])
"""
"""A name that is let in; no role may ask who it is."""

POSTGRESQL_USER = """
import os
import psycopg
print(psycopg.connect(os.environ["ORCHESTRATOR_STORAGE_URL"]).execute("SELECT current_user").fetchone()[0])
"""


class OwnPostgreSQL(PostgreSQL):
    """One that asks for passwords, but not its owner's; encrypted where it has a certificate."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rules = ("local all all trust", "host all optuna 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
        (self._data / "pg_hba.conf").write_text("\n".join(rules) + "\n")

    def certify(self, certificate: Path, key: Path) -> None:
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            shutil.copy(source, self._data / name)
            (self._data / name).chmod(0o600)
            self.own(self._data / name)

    def _command(self) -> list[str]:
        return [*super()._command(), *(["-c", "ssl=on"] if (self._data / "server.key").exists() else [])]


@dataclass
class Reader:
    """The user who follows the page, in a folder of the test."""

    folder: Path
    environment: dict[str, str]
    postgresql: OwnPostgreSQL
    redis_port: int = field(default_factory=free_port)
    server: subprocess.Popen[bytes] | None = None

    def own(self, text: str) -> str:
        """Returns a line as he types it: with his hosts, ports and names."""
        redis_place, postgresql_place = f"127.0.0.1:{self.redis_port}", f"127.0.0.1:{self.postgresql.port}"
        for shown, here in {
            "owner@host/": f"optuna@{postgresql_place}/",
            "host:6379": redis_place,
            "@host/": f"@{postgresql_place}/",
            "-port 6379": f"-port {self.redis_port}",
            "redis-cli": f"redis-cli -p {self.redis_port}",
            "/etc/fleet": str(self.folder),
            "worker:PASSWORD": f"worker:{self.password('redis_worker')}",
            "writer:PASSWORD": f"writer:{self.password('postgres_writer')}",
            "reader:PASSWORD": f"reader:{self.password('postgres_reader')}",
        }.items():
            text = text.replace(shown, here)
        return text

    def password(self, role: str) -> str:
        path = self.folder / "secrets" / f"{role}_password"
        return path.read_text().strip() if path.exists() else ""

    def types(self, text: str, shell: str = "sh") -> str:
        done = run_script(self.own(text), self.folder, self.environment, shell)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def starts(self, block: Block) -> None:
        """Starts the server of a block, in the place of the one that runs."""
        self.ends()
        (line,) = command_lines(block)
        (words,) = simple_commands(self.own(line))
        more = ["--bind", "127.0.0.1", "--save", "", *([] if "--port" in words else ["--port", str(self.redis_port)])]
        with (self.folder / "redis.log").open("ab") as log:
            self.server = subprocess.Popen(
                [*words, *more], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        wait_for(lambda: listens(self.redis_port), f"{line}: {(self.folder / 'redis.log').read_text()}")

    def ends(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait(PATIENCE)

    def who_is(self, export: str, question: str) -> str:
        """Returns as whom he is let in."""
        return self.types(f"{export}\npython - <<'END'\n{question}\nEND\n").strip()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "security"
    folder.mkdir()
    (folder / "docker").symlink_to(ROOT / "docker")
    environment = clean_shell.environment(folder / "bin")
    require(*NEEDED, folder=folder / "bin")
    postgresql = OwnPostgreSQL(folder / "postgresql")
    postgresql.start()
    environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(postgresql.port), "PGUSER": "optuna"}
    it = Reader(folder, environment, postgresql)
    try:
        yield it
    finally:
        it.ends()
        postgresql.close()


def block(beginning: str) -> Block:
    """Returns the block of the page that begins with this."""
    (found,) = [each for each in BLOCKS if each.text.startswith(beginning)]
    return found


def exports(beginning: str) -> list[tuple[str, str]]:
    """Returns each line of a block of exports, with the user in its URL."""
    lines = command_lines(block(beginning))
    return [(line, re.findall(r"://(\w+):", line)[0]) for line in lines]


REDIS_USERS = 'export ORCHESTRATOR_REDIS_URL="redis://control'
POSTGRESQL_USERS = "export ORCHESTRATOR_STORAGE_URL=postgresql://orchestrator_writer"
OVER_TLS = 'export ORCHESTRATOR_REDIS_URL="rediss://'
ENDED = {"mkdir", "redis-server --aclfile", "REDISCLI_AUTH", "openssl rand", "openssl req", "redis-server --port 0"}


def test_every_block_is_read() -> None:
    assert {each.text for each in BLOCKS} == {
        block(beginning).text for beginning in (*ENDED, REDIS_USERS, POSTGRESQL_USERS, OVER_TLS)
    }


@pytest.mark.timeout(3600)
def test_the_page_holds_from_its_beginning_to_its_end(reader: Reader, subtests: pytest.Subtests) -> None:
    for step in (
        a_redis_lets_in_whom_the_file_names,
        a_new_password_counts_at_once,
        a_postgresql_has_its_roles_and_its_tables,
        both_are_encrypted,
    ):
        with subtests.test(step.__name__):
            step(reader)


def a_redis_lets_in_whom_the_file_names(reader: Reader) -> None:
    reader.types(block("mkdir").text)
    reader.starts(block("redis-server --aclfile"))
    for line, user in exports(REDIS_USERS):
        assert reader.who_is(line, REDIS_USER) == user


def a_new_password_counts_at_once(reader: Reader) -> None:
    before = reader.password("redis_worker")
    reader.types("openssl rand -hex 24 > secrets/redis_worker_password")
    reader.types(command_lines(block("mkdir"))[-1])
    reader.types(block("REDISCLI_AUTH").text)
    (line,) = [line for line, user in exports(REDIS_USERS) if user == "worker"]
    assert reader.who_is(line, REDIS_USER) == "worker"
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(f"redis://worker:{before}@127.0.0.1:{reader.redis_port}/0").ping()


def a_postgresql_has_its_roles_and_its_tables(reader: Reader) -> None:
    roles = block("openssl rand")
    reader.types(command_lines(roles)[0].replace("writer", "reader"))
    reader.types(roles.text)
    for line, user in exports(POSTGRESQL_USERS):
        assert reader.who_is(line, POSTGRESQL_USER) == user
        # It comes in, and sees the tables: there is no study yet.
        assert reader.types(f"{line}\norchestrator ls --json").strip() == "[]"


def both_are_encrypted(reader: Reader) -> None:
    require_redis_with_tls()
    reader.types(block("openssl req").text)
    reader.postgresql.certify(reader.folder / "redis.pem", reader.folder / "redis.key")
    reader.postgresql.kill()
    reader.postgresql.start()
    reader.starts(block("redis-server --port 0"))
    for (line, user), question in zip(exports(OVER_TLS), (REDIS_USER, POSTGRESQL_USER), strict=True):
        assert reader.who_is(line, question) == user
