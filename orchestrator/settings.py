"""Settings from the environment, the only place that reads it, and the data folder."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.errors import BadInput
from tasks.admission import NotAList, split_list
from tasks.endpoint import LOOPBACK, BadSetting, Endpoint, read_secret
from tasks.endpoint import PASSWORD as METRICS_PASSWORD
from tasks.objective_path import split_path
from tasks.signing import BadKey, Keyring, read_keys

PREFIX = "ORCHESTRATOR_"

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


class _Refused(ValueError):
    """A validator's complaint, with the field where it is not the validated one."""

    def __init__(self, problem: str, remedy: str, field: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.field = field


def redact(url: str) -> str:
    """Returns the URL with its password masked, also where it is malformed: rather too much than too little.

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
    """Without any '@', what stands where a port should may be a password whose host was forgotten."""
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
    # A file may lie in a folder whose name has blanks; no host, and no part of another URL, has any.
    strict = url.replace(" ", "") if url.lower().startswith("sqlite") else url
    if any(character.isspace() or not character.isprintable() for character in strict):
        raise _Refused(f"{_shown(url)} contains blanks or control characters", remedy)
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise _Refused(f"{_shown(url)} is not a URL", remedy)
    return scheme.lower(), rest


def _check_storage(url: str) -> str:
    scheme, rest = _split(url, _STORAGE_REMEDY)
    if scheme in ("journal", "file") or scheme.startswith("journal+"):
        raise _Refused(f"{_shown(url)} is a file, not a database", _STORAGE_REMEDY)
    if scheme.partition("+")[0] in ("mysql", "mariadb", "oracle", "mssql"):
        raise _Refused(f"{scheme} is not supported", _STORAGE_REMEDY)
    if scheme == "postgres":
        raise _Refused("the scheme 'postgres' is not known", "write postgresql://…")
    if scheme.startswith("postgresql+") and scheme not in _STORAGE_SCHEMES:
        raise _Refused("no other driver than psycopg is supported", "write postgresql://… or postgresql+psycopg://…")
    if scheme not in _STORAGE_SCHEMES:
        raise _Refused(f"{_shown(url)} is no database URL", _STORAGE_REMEDY)
    if scheme.startswith("sqlite"):
        _check_sqlite(url, rest)
    else:
        _check_postgresql(url, rest)
    return url


def _check_sqlite(url: str, rest: str) -> None:
    path = rest.partition("?")[0]
    if path in ("", "/", "/:memory:") or "mode=memory" in rest:
        raise _Refused(
            f"{_shown(url)} is a database in memory, which no other process sees",
            "write sqlite:////absolute/path/study.db",
        )
    if not path.startswith("/"):
        raise _Refused(
            f"{_shown(url)} names a host, which sqlite does not have",
            "a path comes after three slashes: sqlite:///study.db",
        )


def _check_postgresql(url: str, rest: str) -> None:
    place, _, _ = rest.partition("?")
    place = place.rpartition("@")[2]
    host, _, database = place.partition("/")
    if not database and "dbname=" not in rest:
        raise _Refused(f"{_shown(url)} names no database", "write postgresql://user:password@host/name")
    _check_port(url, host, _STORAGE_REMEDY)


def _check_redis(url: str) -> str:
    scheme, rest = _split(url, _REDIS_REMEDY)
    if scheme not in ("redis", "rediss", "unix"):
        raise _Refused(f"{_shown(url)} is not a Redis URL", _REDIS_REMEDY)
    place = rest.partition("?")[0].rpartition("@")[2]
    host, _, path = place.partition("/")
    _check_tls(scheme, rest)
    if scheme == "unix":
        if not path:
            raise _Refused(f"{_shown(url)} names no socket", "write unix:///path/to/socket")
        return url
    if not host:
        raise _Refused(f"{_shown(url)} names no host", _REDIS_REMEDY)
    if path and not (path.isascii() and path.isdigit()):
        # redis-py would quietly take database 0.
        raise _Refused(f"{_shown(url)} names no database number", "the part after the host is a number: /0")
    _check_port(url, host, _REDIS_REMEDY)
    return url


def _check_tls(scheme: str, rest: str) -> None:
    """What is misspelt, or stands where nothing is encrypted, must not be left out in silence."""
    for name, values in parse_qs(rest.rpartition("@")[2].partition("?")[2], keep_blank_values=True).items():
        if not name.startswith("ssl"):
            continue
        if scheme != "rediss":
            raise _Refused(f"{name} stands in a URL without TLS", "write rediss://…")
        value = values[-1]
        if name in _TLS_FILES:
            if not Path(value).is_file():
                raise _Refused(f"{name} names no file: {_shown(value)}", "give the path of a PEM file")
        elif name not in _TLS_WORDS:
            raise _Refused(f"there is no {_shown(name)}", _TLS_REMEDY)
        elif value not in _TLS_WORDS[name]:
            raise _Refused(f"{name} is {_shown(value)}", f"it is {' or '.join(_TLS_WORDS[name])}")


def _check_store(url: str) -> str:
    """Returns an absolute path, or a URL of a store that fsspec knows."""
    found = _SCHEME.match(url)
    if not found:
        if "://" in url or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
            raise _Refused(f"{_shown(url)} is neither a path nor a URL", _STORE_REMEDY)
        return str(_check_folder(Path(url)).absolute())
    scheme, rest = _split(url, _STORE_REMEDY)
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise _Refused(f"{_shown(url)} names a host", "a path comes after three slashes: file:///path")
        return rest
    # Imported where it is needed: most settings name no store.
    import fsspec

    if scheme not in fsspec.available_protocols():
        raise _Refused(f"{_shown(url)} is no store that fsspec knows", _STORE_REMEDY)
    if not rest.strip("/") and scheme != "memory":
        raise _Refused(f"{_shown(url)} names no place", _STORE_REMEDY)
    return scheme + "://" + rest


def _check_port(url: str, host: str, remedy: str) -> None:
    """An IPv6 host stands in brackets, so a colon behind them, or the only one, begins the port."""
    _, colon, port = host.rpartition("]")[2].partition(":")
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise _Refused(f"{_shown(url)} has no valid port", remedy)


def _check_folder(path: Path) -> Path:
    if "\0" in str(path):
        raise _Refused("contains a NUL character", "give the path of a folder")
    try:
        return path.expanduser()
    except RuntimeError:
        raise _Refused(f"is {str(path)!r}, and there is no home folder", "give an absolute path") from None


def _check_objective_path(text: str) -> str:
    if "\0" in text:
        raise _Refused("contains a NUL character", f"give folders, separated by '{os.pathsep}'")
    return os.pathsep.join(map(str, split_path(text)))


def _check_objectives(text: str) -> str:
    try:
        return ",".join(split_list(text))
    except NotAList as error:
        raise _Refused(str(error), "write names of modules, separated by commas, or * for everything") from None


class Settings(BaseSettings):
    """What the environment says. Made by ``load_settings``; a bare ``Settings()`` is all defaults.

    Attributes:
        storage_url: The database that is the truth; None for an SQLite file in ``data_dir``.
        redis_url: Broker, stream and verdicts; None for an embedded server.
        checkpoint_url: Where checkpoints are kept, an absolute path or a URL; None for ``checkpoints`` in ``data_dir``.
        artifact_url: Where models and other files of trials are kept, likewise; None for ``artifacts`` in ``data_dir``.
        objective_path: Folders of the user's own code, absolute, separated as in ``PATH``.
        objectives: What workers admit, separated by commas; empty for the default.
        flower_auth: What Flower asks for, user:password; empty for what is made in ``data_dir``.
        flower_auth_file: The file that holds it instead.
        dashboard_auth: What the dashboard asks for, likewise.
        dashboard_auth_file: The file that holds it instead.
        signing_key: Keys that sign and verify what crosses Redis, separated by commas; see ``keyring``.
        signing_key_file: A file with these keys instead.
        data_dir: Embedded state, checkpoints, models, logs.
        heartbeat: Seconds between two signs of life.
        lease: Seconds without one after which something counts as lost.
        log_format: How ``serve`` and workers write their logs.
        metrics_port: Where they show metrics to Prometheus; 0 for nowhere.
        metrics_address: The address of it.
        metrics_password: What whoever asks for them has to know; empty for nothing.
        metrics_password_file: The file that holds it instead.
        notify_urls: Where the endpoints are that specs name, as ``name=url`` pairs.
        notify_urls_file: The file that holds them instead.
        notify_key: What notes are signed with; empty for nothing.
        notify_key_file: The file that holds it instead.
        notify_commands: Whether the commands of specs are run.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    # These may hold a password, and a settings object ends up in logs.
    storage_url: Annotated[str, AfterValidator(_check_storage)] | None = Field(default=None, repr=False)
    redis_url: Annotated[str, AfterValidator(_check_redis)] | None = Field(default=None, repr=False)
    checkpoint_url: Annotated[str, AfterValidator(_check_store)] | None = Field(default=None, repr=False)
    artifact_url: Annotated[str, AfterValidator(_check_store)] | None = Field(default=None, repr=False)
    objective_path: Annotated[str, AfterValidator(_check_objective_path)] = ""
    objectives: Annotated[str, AfterValidator(_check_objectives)] = ""
    flower_auth: str = Field(default="", repr=False)
    flower_auth_file: str = ""
    dashboard_auth: str = Field(default="", repr=False)
    dashboard_auth_file: str = ""
    signing_key: str = Field(default="", repr=False)
    signing_key_file: str = ""
    data_dir: Annotated[Path, AfterValidator(_check_folder)] = Path(".orchestrator")
    heartbeat: Annotated[float, Field(gt=0, le=3_600)] = 2.0
    lease: Annotated[float, Field(gt=0, le=86_400)] = 6.0
    log_format: Literal["text", "json"] = "text"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    metrics_address: str = LOOPBACK
    metrics_password: str = Field(default="", repr=False)
    metrics_password_file: str = ""
    notify_urls: str = Field(default="", repr=False)
    notify_urls_file: str = ""
    notify_key: str = Field(default="", repr=False)
    notify_key_file: str = ""
    notify_commands: bool = False

    @model_validator(mode="after")
    def _check_lease(self) -> Settings:
        if self.lease <= self.heartbeat:
            raise _Refused(
                f"the lease of {self.lease:g} s is not longer than the heartbeat of {self.heartbeat:g} s",
                f"set {PREFIX}LEASE to three heartbeats, or shorten {PREFIX}HEARTBEAT",
                "lease",
            )
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Settings:
        try:
            read_keys(self.signing_key, self.signing_key_file)
        except BadKey as error:
            raise _Refused(error.problem, error.remedy, error.variable.removeprefix(PREFIX).lower()) from None
        return self

    def keyring(self) -> Keyring:
        """Returns the keys that sign and verify what crosses Redis; none where none are set."""
        return Keyring(read_keys(self.signing_key, self.signing_key_file))

    def metrics(self, port: int | None = None) -> Endpoint | None:
        """Returns where metrics are shown, ``None`` for nowhere; ``port`` is what the command line says.

        Raises:
            BadInput: others could ask without a password, or the password cannot be read.
        """
        if not (chosen := self.metrics_port if port is None else port):
            return None
        try:
            password = read_secret(METRICS_PASSWORD, self.metrics_password, self.metrics_password_file)
            return Endpoint(chosen, self.metrics_address, password)
        except BadSetting as error:
            raise BadInput(error.variable, error.problem, error.remedy) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment comes in through load_settings alone, which takes any mapping.
        return (init_settings,)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings. An empty variable counts as unset, a foreign ``ORCHESTRATOR_*`` one is left alone.

    Args:
        environ: What to read; the environment of the process by default.

    Raises:
        BadInput: a variable is wrong or nearly named like a known one; passwords are masked in the message.
    """
    given = os.environ if environ is None else environ
    names = {PREFIX + field.upper() for field in Settings.model_fields}
    for name in given:
        _check_name(name, names)
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): given[name].strip() for name in names if given.get(name, "").strip()}
    try:
        return Settings(**source())
    except ValidationError as error:
        raise _bad_input(error) from None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment for a worker: without what only the control plane has to know."""
    secret = (f"{PREFIX}STORAGE_URL", f"{PREFIX}NOTIFY_")
    return {name: value for name, value in environ.items() if not name.startswith(secret)}


def _check_name(name: str, known: set[str]) -> None:
    if name in known or not name.upper().startswith(PREFIX):
        return
    short = name.upper().removeprefix(PREFIX)[:100]
    for right in sorted(known):
        wanted = right.removeprefix(PREFIX)
        # 0.85 lets a word such as RELEASE pass beside LEASE; swapped letters of a short word fall below it.
        close = difflib.SequenceMatcher(None, short, wanted).ratio() >= 0.85
        if close or sorted(short) == sorted(wanted):
            shown = name if name.isprintable() and len(name) <= 120 else repr(name[:120])
            raise BadInput(shown, "there is no such setting", f"did you mean '{right}'?")


def _bad_input(error: ValidationError) -> BadInput:
    first = error.errors(include_url=False)[0]
    context: dict[str, Any] = first.get("ctx", {})
    fault = context.get("error")
    field = str(first["loc"][0]) if first["loc"] else getattr(fault, "field", "")
    variable = PREFIX + field.upper()
    if isinstance(fault, _Refused):
        return BadInput(variable, fault.problem, fault.remedy)
    return BadInput(variable, f"is {str(first['input'])[:60]!r}", _remedy(field, first["type"], context))


def _remedy(field: str, kind: str, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        return f"it must be {context['expected']}"
    if kind.startswith("bool"):
        return "it must be 1 or 0"
    if field == "metrics_port":
        return "it must be a port, or 0 for none"
    remedy = "it must be a number of seconds"
    bounds = {"greater_than": ("gt", "above"), "less_than_equal": ("le", "at most")}
    if kind in bounds:
        name, words = bounds[kind]
        remedy += f" {words} {context[name]:g}"
    return remedy


def ensure_data_dir(path: Path) -> Path:
    """Creates the folder if need be, for its owner alone, and returns it as an absolute path.

    Raises:
        BadInput: it cannot be created, is no folder, or takes no files.
    """
    where = str(path) if str(path).isprintable() and len(str(path)) <= 300 else repr(str(path)[:300])
    remedy = f"choose another folder with {PREFIX}DATA_DIR"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(where, "is not a folder, or lies below a file", remedy) from None
    except (OSError, ValueError) as error:
        raise BadInput(where, f"cannot be created: {_reason(error)}", remedy) from None
    try:
        # Only trying tells: root passes every permission check, and a file system may be read-only or full.
        with tempfile.NamedTemporaryFile(dir=path, prefix=".probe-"):
            pass
    except OSError as error:
        raise BadInput(where, f"takes no files: {_reason(error)}", remedy) from None
    return path.resolve()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
