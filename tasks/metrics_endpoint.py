"""Settings that both sides read: address and password of a process's metrics, and secrets in files."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PORT: Final = "ORCHESTRATOR_METRICS_PORT"
ADDRESS: Final = "ORCHESTRATOR_METRICS_ADDRESS"
PASSWORD: Final = "ORCHESTRATOR_METRICS_PASSWORD"
LOOPBACK: Final = "127.0.0.1"


class BadSetting(Exception):
    """A setting that cannot be used.

    Args:
        variable: The setting that is wrong.
        problem, remedy: What is wrong with it, and what would be right, where the problem does not say so itself.
    """

    def __init__(self, variable: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{variable}: {problem}" + (f"; {remedy}" if remedy else ""))
        self.variable = variable
        self.problem = problem
        self.remedy = remedy


def read_secret(variable: str, value: str, file: str) -> str:
    """Returns a secret that is given as it is, or as the name of a file; empty where it is not given.

    Raises:
        BadSetting: both are given, or the file cannot be read or is empty.
    """
    if not file:
        return value
    if value:
        raise BadSetting(f"{variable}_FILE", f"stands beside {variable}", "give one of them")
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadSetting(f"{variable}_FILE", f"cannot be read: {reason}", "name a file that holds the secret") from None
    if not text:
        raise BadSetting(f"{variable}_FILE", "names an empty file", "put the secret into it")
    return text


@dataclass(frozen=True)
class Endpoint:
    """Address of the metrics. Clients on other machines need the password; any user name will do.

    Raises:
        BadSetting: there is no such port, or others could ask without a password.
    """

    port: int
    address: str = LOOPBACK
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.port < 65_536:
            raise BadSetting(PORT, f"is {self.port}", "it must be a port, or 0 for none")
        if not self.password and not is_loopback(self.address):
            problem = f"'{self.address}' can be reached from elsewhere, and there is no password"
            raise BadSetting(ADDRESS, problem, f"set {PASSWORD} or {PASSWORD}_FILE")


def endpoint_of(environ: Mapping[str, str], port: int | None = None) -> Endpoint | None:
    """Returns what the environment says, ``None`` where metrics are off; ``port`` is what the command line says.

    Raises:
        BadSetting: something about it is wrong.
    """
    if port is None:
        given = environ.get(PORT, "").strip() or "0"
        if not (given.isascii() and given.isdigit() and len(given) <= 5):
            raise BadSetting(PORT, f"is {given[:60]!r}", "it must be a port, or 0 for none")
        port = int(given)
    if not port:
        return None
    address = environ.get(ADDRESS, "").strip() or LOOPBACK
    password = read_secret(PASSWORD, environ.get(PASSWORD, "").strip(), environ.get(f"{PASSWORD}_FILE", "").strip())
    return Endpoint(port, address, password)


def is_loopback(address: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
