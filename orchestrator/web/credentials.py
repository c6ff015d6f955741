"""Who may see a page: a user and a password, given or made once, and nobody from elsewhere without one."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import ensure_data_dir
from tasks.metrics_endpoint import BadSetting, is_loopback, read_secret

USER = "admin"
GENERATED = "web-password"
"""File in the data folder that keeps the password that was made, one for all pages."""

_BYTES = 18
_REMEDY = "write user:password, in printable characters without blanks or accents"


@dataclass(frozen=True)
class Access:
    """What a page asks for. ``source`` is where whoever runs it finds it, ``made`` whether it was made here."""

    user: str
    password: str = field(repr=False)
    source: str
    made: bool = False

    @property
    def credentials(self) -> str:
        return f"{self.user}:{self.password}"

    def describe(self, *, openly: bool) -> str:
        """Returns, in one line, what to log in with; the password itself only where ``openly`` and made here."""
        if openly and self.made:
            return f"user {self.user}, password {self.password} (kept in {self.source})"
        return f"user {self.user}, the password is in {self.source}"


def given(variable: str, value: str, file: str) -> Access | None:
    """Returns what the settings say a page is to ask for; None where they say nothing.

    Args:
        variable: Name of the setting; that of the file is the same with ``_FILE``.
        value: user:password, or nothing.
        file: Name of a file that holds it, or nothing.

    Raises:
        BadInput: both are given, the file cannot be read, or what is given is no user and password.
    """
    try:
        text = read_secret(variable, value, file)
    except BadSetting as error:
        raise BadInput(error.variable, error.problem, error.remedy) from None
    if not text:
        return None
    return _parse(text, f"{variable}_FILE" if file else variable, file or variable)


def made(data_dir: Path) -> Access:
    """Returns what is made once, kept in the data folder, and readable by its owner alone.

    Raises:
        BadInput: the folder takes no files, or somebody else can read this one.
    """
    path = ensure_data_dir(data_dir) / GENERATED
    try:
        with contextlib.suppress(FileExistsError):
            _make(path)
        if path.stat().st_mode & 0o077:
            raise BadInput(str(path), "holds a password and can be read by others", f"chmod 600 {path}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"a password cannot be kept there: {error.strerror}"
        raise BadInput(str(path), problem, "set one, or choose another ORCHESTRATOR_DATA_DIR") from None
    found = _parse(text.strip(), str(path), str(path))
    return Access(found.user, found.password, found.source, made=True)


def check_exposure(address: str, *, insecure: bool) -> None:
    """Raises BadInput where a page that asks for no password could be seen from elsewhere."""
    if insecure or is_loopback(address):
        return
    problem = f"everybody who reaches '{address}' could get in"
    raise BadInput("--no-auth", problem, "leave it out or bind to 127.0.0.1; --insecure if a proxy asks for a password")


def check_choice(*, no_auth: bool, insecure: bool) -> None:
    """Raises BadInput where an option was given that means nothing."""
    if insecure and not no_auth:
        raise BadInput("--insecure", "means nothing without --no-auth", "leave it out")


def check_free(address: str, port: int, option: str) -> None:
    """Raises BadInput where nothing can listen at ``port``; ``option`` is what names the address."""
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as error:
        problem = f"nothing can listen there: {error.strerror or error}"
        raise BadInput(f"{address}:{port}", problem, f"choose another --port or {option}") from None


def _parse(text: str, where: str, source: str) -> Access:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise BadInput(where, "is no user and password", _REMEDY)
    if not (text.isascii() and text.isprintable()) or " " in text:
        # Browsers and servers disagree about anything else.
        raise BadInput(where, "holds characters that a browser may not send as they are", _REMEDY)
    return Access(user, password, source)


def _make(path: Path) -> None:
    """Makes the file at once and as a whole, so that of two that start together both find the same in it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".web-") as draft:
        draft.write(f"{USER}:{secrets.token_urlsafe(_BYTES)}\n")
        draft.flush()
        os.fsync(draft.fileno())
        os.link(draft.name, path)
