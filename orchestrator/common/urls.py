"""URLs of servers and stores: their checks, which raise a ``Fault``, and how to show one without its password."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qs

from orchestrator.common.errors import reason_of
from orchestrator.common.faults import Fault

_STORAGE_REMEDY = (
    "write a database URL such as postgresql://user:password@host/name or sqlite:////absolute/path/study.db"
)
_REDIS_REMEDY = "write redis://[:password@]host:6379/0, rediss://… for TLS, or unix:///path/to/socket"
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_WORDS = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
_TLS_REMEDY = "of TLS the URL may say " + ", ".join((*_TLS_FILES, *_TLS_WORDS))
_STORE_REMEDY = "write a path, or a URL such as s3://bucket/prefix or file:///absolute/path"
_STORAGE_SCHEMES = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET = re.compile(r"(?i)([\w.-]*(?:pass|pwd|secret|token)[\w.-]*\s*(?:=|%3d)\s*)('[^']*'|[^&\s]*)")


def redact(url: str) -> str:
    """Returns the URL with its password masked. Of a malformed URL it masks rather too much than too little.

    A password with an unescaped '@', '/', '?' or '#' is masked up to the last '@' of the text. A Redis URL
    with a user and no password is masked as well: some clients take that user for the password.
    """
    found = _SCHEME.match(url)
    scheme = found[0] if found else ""
    rest = url[len(scheme) :]
    user_info, at, tail = rest.rpartition("@")
    if not at:
        return scheme + _SECRET.sub(r"\1***", _without_odd_port(rest))
    user, colon, _ = user_info.partition(":")
    if _SECRET.search(user_info):
        # That '@' may lie inside a password=… of the query, which then goes on behind it.
        tail = re.sub(r"\A[^&\s]*", "***", tail)
    if colon:
        user_info = f"{user}:***"
    elif scheme.lower().startswith(("redis", "unix")):
        user_info = "***"
    return scheme + _SECRET.sub(r"\1***", f"{user_info}@{tail}")


def _without_odd_port(rest: str) -> str:
    """Masks what stands in the place of a port: without any '@' it may be a password whose host was forgotten."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before = len(authority) - len(authority.rpartition("]")[2])
    colon = rest.find(":", before, len(authority))
    if colon < 0 or re.fullmatch(r"[0-9]{1,5}", authority[colon + 1 :]):
        return rest
    return rest[: colon + 1] + "***"


def _shown(url: str) -> str:
    text = redact(url)
    return repr(text if len(text) <= 120 else text[:119] + "…")


def _split(url: str, remedy: str) -> tuple[str, str]:
    """Returns the scheme in lower case and what follows ``://``."""
    # The path of an SQLite file may contain blanks; no other URL does.
    strict = url.replace(" ", "") if url.lower().startswith("sqlite") else url
    if any(character.isspace() or not character.isprintable() for character in strict):
        raise Fault(f"{_shown(url)} contains blanks or control characters", remedy)
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise Fault(f"{_shown(url)} is not a URL", remedy)
    return scheme.lower(), rest


def check_storage(url: str) -> str:
    """Returns the URL of a study database; raises a ``Fault`` for any other."""
    scheme, rest = _split(url, _STORAGE_REMEDY)
    if scheme in ("journal", "file") or scheme.startswith("journal+"):
        raise Fault(f"{_shown(url)} is a file, not a database", _STORAGE_REMEDY)
    if scheme.partition("+")[0] in ("mysql", "mariadb", "oracle", "mssql"):
        raise Fault(f"{scheme} is not supported", _STORAGE_REMEDY)
    if scheme == "postgres":
        raise Fault("the scheme 'postgres' is not known", "write postgresql://…")
    if scheme.startswith("postgresql+") and scheme not in _STORAGE_SCHEMES:
        raise Fault("no other driver than psycopg is supported", "write postgresql://… or postgresql+psycopg://…")
    if scheme not in _STORAGE_SCHEMES:
        raise Fault(f"{_shown(url)} is no database URL", _STORAGE_REMEDY)
    if scheme.startswith("sqlite"):
        _check_sqlite(url, rest)
    else:
        _check_postgresql(url, rest)
    return url


def _check_sqlite(url: str, rest: str) -> None:
    path = rest.partition("?")[0]
    if path in ("", "/", "/:memory:") or "mode=memory" in rest:
        raise Fault(
            f"{_shown(url)} is a database in memory, which no other process sees",
            "write sqlite:////absolute/path/study.db",
        )
    if not path.startswith("/"):
        raise Fault(
            f"{_shown(url)} names a host, which sqlite does not have",
            "a path comes after three slashes: sqlite:///study.db",
        )
    _check_lookup(path.removeprefix("/"), "name another file")


def _check_postgresql(url: str, rest: str) -> None:
    place, _, _ = rest.partition("?")
    place = place.rpartition("@")[2]
    host, _, database = place.partition("/")
    if not database and "dbname=" not in rest:
        raise Fault(f"{_shown(url)} names no database", "write postgresql://user:password@host/name")
    _check_port(url, host, _STORAGE_REMEDY)


def check_redis(url: str) -> str:
    """Returns the URL of a Redis; raises a ``Fault`` for any other."""
    scheme, rest = _split(url, _REDIS_REMEDY)
    if scheme not in ("redis", "rediss", "unix"):
        raise Fault(f"{_shown(url)} is not a Redis URL", _REDIS_REMEDY)
    place = rest.partition("?")[0].rpartition("@")[2]
    host, _, path = place.partition("/")
    _check_tls(scheme, rest)
    if scheme == "unix":
        if not path:
            raise Fault(f"{_shown(url)} names no socket", "write unix:///path/to/socket")
        return url
    if not host:
        raise Fault(f"{_shown(url)} names no host", _REDIS_REMEDY)
    if path and not (path.isascii() and path.isdigit()):
        # redis-py would quietly take database 0.
        raise Fault(f"{_shown(url)} names no database number", "the part after the host is a number: /0")
    _check_port(url, host, _REDIS_REMEDY)
    return url


def _check_tls(scheme: str, rest: str) -> None:
    """Raises for a TLS option that is misspelt or without effect, which redis-py would ignore."""
    for name, values in parse_qs(rest.rpartition("@")[2].partition("?")[2], keep_blank_values=True).items():
        if not name.startswith("ssl"):
            continue
        if scheme != "rediss":
            raise Fault(f"{name} stands in a URL without TLS", "write rediss://…")
        value = values[-1]
        if name in _TLS_FILES:
            if not Path(value).is_file():
                raise Fault(f"{name} names no file: {_shown(value)}", "give the path of a PEM file")
        elif name not in _TLS_WORDS:
            raise Fault(f"there is no {_shown(name)}", _TLS_REMEDY)
        elif value not in _TLS_WORDS[name]:
            raise Fault(f"{name} is {_shown(value)}", f"it is {' or '.join(_TLS_WORDS[name])}")


def check_store(url: str) -> str:
    """Returns the store as an absolute path, or as a URL that fsspec knows."""
    found = _SCHEME.match(url)
    if not found:
        if "://" in url or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
            raise Fault(f"{_shown(url)} is neither a path nor a URL", _STORE_REMEDY)
        return str(check_folder(Path(url)).absolute())
    scheme, rest = _split(url, _STORE_REMEDY)
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise Fault(f"{_shown(url)} names a host", "a path comes after three slashes: file:///path")
        return rest
    # Imported where it is needed: most settings name no store.
    import fsspec

    if scheme not in fsspec.available_protocols():
        raise Fault(f"{_shown(url)} is no store that fsspec knows", _STORE_REMEDY)
    if not rest.strip("/") and scheme != "memory":
        raise Fault(f"{_shown(url)} names no place", _STORE_REMEDY)
    return scheme + "://" + rest


def _check_port(url: str, host: str, remedy: str) -> None:
    """Raises for an invalid port. It follows the only colon, or the one behind the brackets of an IPv6 host."""
    _, colon, port = host.rpartition("]")[2].partition(":")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise Fault(f"{_shown(url)} has no valid port", remedy)


def check_folder(path: Path) -> Path:
    """Returns the path of a folder with its home directory expanded; raises a ``Fault`` where that cannot be."""
    if "\0" in str(path):
        raise Fault("contains a NUL character", "give the path of a folder")
    try:
        folder = path.expanduser()
    except RuntimeError:
        raise Fault(f"is {str(path)!r}, and there is no home folder", "give an absolute path") from None
    # One that this user may not enter may be a service's, and matter to few commands.
    _check_lookup(str(folder), "choose another folder", PermissionError)
    return folder


def check_entry(folder: Path) -> None:
    """Raises a ``Fault`` where this user may not look at what is in a folder."""
    _check_lookup(f"{folder}/.", "choose another folder")


def _check_lookup(path: str, remedy: str, *passed: type[OSError]) -> None:
    """Raises a ``Fault`` where the operating system does not even say whether something is there, for a reason that is
    none of those ``passed``."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError, *passed)):
            raise Fault(f"{path[:120]!r} cannot be looked at: {reason_of(error)}", remedy) from None
