"""The login of a page: user and password, configured or generated once; without one only this machine gets in."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.common.errors import BadInput, reason_of
from orchestrator.common.settings import bad_settings_are_bad_input, ensure_data_dir
from tasks.metrics_endpoint import is_loopback, read_secret

USER = "admin"
GENERATED = "web-password"
"""File in the data folder that keeps the generated password, one for all pages."""

_BYTES = 18
_REMEDY = "write user:password, in printable characters without blanks or accents"


@dataclass(frozen=True)
class Login:
    """The login of a page. ``source`` is the setting or file that holds it, ``generated`` whether it was made here."""

    user: str
    password: str = field(repr=False)
    source: str
    generated: bool = False

    @property
    def credentials(self) -> str:
        return f"{self.user}:{self.password}"

    def describe(self, *, openly: bool) -> str:
        """Returns in one line what to log in with; the password itself only if it was generated, and ``openly``."""
        if openly and self.generated:
            return f"user {self.user}, password {self.password} (kept in {self.source})"
        return f"user {self.user}, the password is in {self.source}"


@dataclass(frozen=True)
class PageOptions:
    """The options of a command that serves a page.

    Attributes:
        address, port: Where it listens; ``None`` for the default.
        no_auth: Whether it asks for no password.
        insecure: Whether it may do so where other machines can reach it.
    """

    address: str | None
    port: int | None
    no_auth: bool
    insecure: bool


def choose(
    found: Login | None, page: PageOptions, data_dir: Path, address: str, *, other_login: bool = False
) -> Login | None:
    """Returns the login that a page asks for: the configured one, or a generated one; ``None`` for none of ours.

    Args:
        found: What the settings say.
        page: The options of the command.
        data_dir: Keeps a generated password.
        address: Where the page listens.
        other_login: Whether the page has a login of its own.

    Raises:
        BadInput: the options contradict each other or the settings, other machines could get in without a password, or
            no password can be kept.
    """
    if page.insecure and not page.no_auth:
        raise BadInput("--insecure", "means nothing without --no-auth", "leave it out")
    if not page.no_auth:
        return found or (None if other_login else generated(data_dir))
    if found or other_login:
        raise BadInput("--no-auth", "contradicts settings that ask for a login", "leave one of them out")
    if not page.insecure and not is_loopback(address):
        problem = f"every machine that reaches '{address}' could get in"
        remedy = "leave it out or bind to 127.0.0.1; --insecure if a proxy asks for a password"
        raise BadInput("--no-auth", problem, remedy)
    return None


def configured(variable: str, value: str, file: str) -> Login | None:
    """Returns the login that the settings name; ``None`` where they name none.

    Args:
        variable: Name of the setting; that of the file is the same with ``_FILE``.
        value: user:password, or nothing.
        file: Name of a file that holds it, or nothing.

    Raises:
        BadInput: both are given, the file cannot be read, or what is given is no user and password.
    """
    with bad_settings_are_bad_input():
        text = read_secret(variable, value, file)
    if not text:
        return None
    return _parse(text, f"{variable}_FILE" if file else variable, file or variable)


def generated(data_dir: Path) -> Login:
    """Returns the login that is generated once and kept in the data folder, where only its owner can read it.

    Raises:
        BadInput: the folder takes no files, or other users can read this one.
    """
    path = ensure_data_dir(data_dir) / GENERATED
    try:
        with contextlib.suppress(FileExistsError):
            _generate(path)
        if path.stat().st_mode & 0o077:
            raise BadInput(str(path), "holds a password and can be read by others", f"chmod 600 {path}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"a password cannot be kept there: {reason_of(error)}"
        raise BadInput(str(path), problem, "set one, or choose another ORCHESTRATOR_DATA_DIR") from None
    found = _parse(text.strip(), str(path), str(path))
    return replace(found, generated=True)


def check_free(address: str, port: int, option: str) -> None:
    """Raises BadInput where nothing can listen at ``port``; ``option`` is what names the address."""
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as error:
        problem = f"nothing can listen there: {reason_of(error)}"
        raise BadInput(f"{address}:{port}", problem, f"choose another --port or {option}") from None


def _parse(text: str, where: str, source: str) -> Login:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise BadInput(where, "holds no user and password", _REMEDY)
    if not (text.isascii() and text.isprintable()) or " " in text:
        # Browsers and servers disagree about anything else.
        raise BadInput(where, "holds characters that a browser may not send as they are", _REMEDY)
    return Login(user, password, source)


def _generate(path: Path) -> None:
    """Creates the file atomically, so that two processes that start together find the same password in it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".web-") as draft:
        draft.write(f"{USER}:{secrets.token_urlsafe(_BYTES)}\n")
        draft.flush()
        os.fsync(draft.fileno())
        os.link(draft.name, path)
