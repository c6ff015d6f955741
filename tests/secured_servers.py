"""Redis and PostgreSQL over TLS, with passwords and with roles that have only the rights they need."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import redis

from tests.installed import find, program
from tests.servers import PostgreSQL, Redis

ROOT = Path(__file__).parents[1]
REDIS_ROLES = ("control", "worker", "viewer", "flower", "admin")
POSTGRESQL_ROLES = ("writer", "reader")


@dataclass(frozen=True)
class Authority:
    """Signs certificates for servers on the loopback interface."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        folder.mkdir(parents=True)
        made = cls(folder)
        made._make("ca", "-addext", "basicConstraints=critical,CA:TRUE")
        return made

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def sign(self, name: str) -> tuple[Path, Path]:
        """Returns a certificate and its key."""
        issuer = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key")]
        self._make(name, *issuer, "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _make(self, name: str, *options: str) -> None:
        openssl = program("openssl")
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        files = ["-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.pem")]
        # Of its own configuration alone: a system's may add to a certificate what this has said otherwise.
        config = self.folder / "openssl.cnf"
        config.write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        subprocess.run(
            [openssl, "req", "-x509", "-config", str(config), *kind, *files, *options], check=True, capture_output=True
        )


class SecuredRedis(Redis):
    """A Redis with the users of docker/redis/acl.sh.

    Args:
        folder: Where its data is.
        passwords: Of the roles.
        authority: Signs its certificate, and that of clients, which it asks for; without one nothing is encrypted.
        program: The server, where it is to be another one than what is installed.
        options: More of its options, in pairs of name and value.
    """

    def __init__(
        self,
        folder: Path,
        passwords: dict[str, str],
        authority: Authority | None = None,
        *options: str,
        program: str = "",
    ) -> None:
        secrets = folder / "secrets"
        secrets.mkdir(parents=True)
        for role in REDIS_ROLES:
            (secrets / f"redis_{role}_password").write_text(passwords[role] + "\n")
        acl = subprocess.run([ROOT / "docker/redis/acl.sh", secrets], check=True, capture_output=True)
        (folder / "users.acl").write_bytes(acl.stdout)
        super().__init__(folder, "--aclfile", str(folder / "users.acl"), *options)
        self.passwords = passwords
        self.program = program
        self.authority = authority
        if authority is not None:
            certificate, key = authority.sign("redis")
            self.client_files = authority.sign("redis-client")
            files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority.certificate]
            self._options += (*map(str, files), "--port", "0", "--tls-port", str(self.port))

    def url_of(self, role: str, password: str = "", authority: Authority | None = None) -> str:
        """Returns the URL by which a role comes in; or tries to, with another password or another authority."""
        place = f"{role}:{password or self.passwords[role]}@127.0.0.1:{self.port}/0"
        if self.authority is None:
            return f"redis://{place}"
        certificate, key = self.client_files
        query = {"ssl_ca_certs": (authority or self.authority).certificate, "ssl_certfile": certificate}
        return f"rediss://{place}?{urlencode(query | {'ssl_keyfile': key})}"

    @property
    def url(self) -> str:
        return self.url_of("admin")

    def client_of(self, role: str) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(role), socket_timeout=5)

    def _command(self) -> list[str]:
        command = super()._command()
        return [self.program or command[0], *command[1:]]


class RoledPostgreSQL(PostgreSQL):
    """A PostgreSQL with the roles of docker/postgres/roles.sql, for who knows their passwords.

    Args:
        folder: Where its log goes.
        secrets: Folder with ``postgres_ROLE_password`` of each role, and of ``owner``, who owns the database.
    """

    CONNECTIONS = "host"
    """What connections over TCP have to be, in the words of pg_hba.conf."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        super().__init__(folder)
        self._secrets = secrets
        # Through its socket, which lies in a folder of the test, the roles are made without a password.
        rules = f"local all all trust\n{self.CONNECTIONS} all all 127.0.0.1/32 scram-sha-256\n"
        (self._data / "pg_hba.conf").write_text(rules)

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://optuna@/optuna?host={self._data}&port={self.port}"

    def start(self) -> None:
        super().start()
        psql = find("psql") or self._programs / "psql"
        command = [str(psql), "-q", "-h", str(self._data), "-p", str(self.port), "-U", "optuna", "-d", "optuna"]
        command += ["-v", f"folder={self._secrets}", "-f", str(ROOT / "docker/postgres/roles.sql")]
        subprocess.run(command, check=True, capture_output=True)
        password = (self._secrets / "postgres_owner_password").read_text().strip()
        with self._admin() as connection:
            connection.exec_driver_sql(f"ALTER ROLE optuna PASSWORD '{password}'")


class SecuredPostgreSQL(RoledPostgreSQL):
    """The same over TLS and nothing else.

    Args:
        folder: Where its log goes.
        authority: Signs its certificate.
        passwords: Of the roles; "owner" is that of who owns the database.
    """

    CONNECTIONS = "hostssl"

    def __init__(self, folder: Path, authority: Authority, passwords: dict[str, str]) -> None:
        super().__init__(folder, folder)
        self.authority = authority
        self.passwords = passwords
        for role, password in passwords.items():
            (folder / f"postgres_{role}_password").write_text(password + "\n")
        for source, name in zip(authority.sign("postgresql"), ("server.crt", "server.key"), strict=True):
            target = self._data / name
            shutil.copy(source, target)
            target.chmod(0o600)
            self.own(target)

    def url_of(self, role: str, password: str = "", authority: Authority | None = None) -> str:
        """As that of SecuredRedis; the owner is ``owner``."""
        user = "optuna" if role == "owner" else f"orchestrator_{role}"
        query = urlencode({"sslmode": "verify-full", "sslrootcert": (authority or self.authority).certificate})
        secret = password or self.passwords[role]
        return f"postgresql+psycopg://{user}:{secret}@127.0.0.1:{self.port}/optuna?{query}"

    def _command(self) -> list[str]:
        return [*super()._command(), "-c", "ssl=on"]
