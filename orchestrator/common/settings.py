"""Settings from the environment, which is read here alone, and the data folder."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.common.errors import BadInput, reason_of
from orchestrator.common.faults import Fault, beneath
from orchestrator.common.urls import check_entry, check_folder, check_redis, check_storage, check_store
from tasks.metrics_endpoint import LOOPBACK, BadSetting, Endpoint, read_secret
from tasks.metrics_endpoint import PASSWORD as METRICS_PASSWORD
from tasks.objective_allowlist import split_list
from tasks.objective_path import split_path
from tasks.signing import Keyring, read_keys

PREFIX = "ORCHESTRATOR_"


def _check_objective_path(text: str) -> str:
    if "\0" in text:
        raise Fault("contains a NUL character", f"give folders, separated by '{os.pathsep}'")
    return os.pathsep.join(map(str, split_path(text)))


def _check_objectives(text: str) -> str:
    return ",".join(split_list(text))


class Settings(BaseModel):
    """The settings of a process. ``load_settings`` makes them; ``Settings()`` holds the defaults.

    Attributes:
        storage_url: The study database; None for an SQLite file in ``data_dir``.
        redis_url: Broker, stream and verdicts; None for an embedded server.
        checkpoint_url: Where checkpoints are kept, an absolute path or a URL; None for ``checkpoints`` in ``data_dir``.
        artifact_url: Where models and other files of trials are kept, likewise; None for ``artifacts`` in ``data_dir``.
        objective_path: Folders of the user's own code, absolute, separated as in ``PATH``.
        objectives: Modules whose objectives workers run, separated by commas; empty for the default.
        flower_auth: Login of Flower, user:password; empty for one that is generated in ``data_dir``.
        flower_auth_file: The file that holds it instead.
        dashboard_auth: Login of the dashboard, likewise.
        dashboard_auth_file: The file that holds it instead.
        signing_key: Keys that sign and verify what crosses Redis, separated by commas; see ``keyring``.
        signing_key_file: A file with these keys instead.
        data_dir: Embedded state, checkpoints, models, logs.
        code_limit: Bytes that the packed code of a study may have.
        heartbeat: Seconds between two heartbeats.
        lease: Seconds without a heartbeat after which an attempt counts as lost.
        loop_limit: Seconds without progress after which the control plane leaves its lease to end.
        samplers: Processes of the control plane that run samplers, beside those of the user's own classes; 0 for as
            many as there are cores.
        sampler_limit: Seconds that a sampler may take for one answer.
        log_format: How ``serve`` and workers write their logs.
        metrics_port: Port of the metrics for Prometheus; 0 for none.
        metrics_address: Address of that port.
        metrics_password: Password of the metrics; empty for none.
        metrics_password_file: The file that holds it instead.
        notify_urls: URLs of the endpoints that specs name, as ``name=url`` pairs.
        notify_urls_file: The file that holds them instead.
        notify_key: Key that signs notifications; empty for none.
        notify_key_file: The file that holds it instead.
        notify_commands: Whether the commands of specs are run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    # These may hold a password, and a settings object ends up in logs.
    storage_url: Annotated[str, AfterValidator(check_storage)] | None = Field(default=None, repr=False)
    redis_url: Annotated[str, AfterValidator(check_redis)] | None = Field(default=None, repr=False)
    checkpoint_url: Annotated[str, AfterValidator(check_store)] | None = Field(default=None, repr=False)
    artifact_url: Annotated[str, AfterValidator(check_store)] | None = Field(default=None, repr=False)
    objective_path: Annotated[str, AfterValidator(_check_objective_path)] = ""
    objectives: Annotated[str, AfterValidator(_check_objectives)] = ""
    flower_auth: str = Field(default="", repr=False)
    flower_auth_file: str = ""
    dashboard_auth: str = Field(default="", repr=False)
    dashboard_auth_file: str = ""
    signing_key: str = Field(default="", repr=False)
    signing_key_file: str = ""
    data_dir: Annotated[Path, AfterValidator(check_folder)] = Path(".orchestrator")
    code_limit: Annotated[int, Field(ge=1, le=256 << 20)] = 16 << 20
    heartbeat: Annotated[float, Field(gt=0, le=3_600)] = 2.0
    lease: Annotated[float, Field(gt=0, le=86_400)] = 6.0
    loop_limit: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    samplers: Annotated[int, Field(ge=0, le=1_024)] = 0
    sampler_limit: Annotated[float, Field(gt=0, le=86_400)] = 600.0
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
            raise Fault(
                f"the lease of {self.lease:g} s is not longer than the heartbeat of {self.heartbeat:g} s",
                f"set {PREFIX}LEASE to three heartbeats, or shorten {PREFIX}HEARTBEAT",
                ("lease",),
            )
        return self

    @model_validator(mode="after")
    def _check_data_dir(self) -> Settings:
        if self.storage_url is None:
            # The studies are there.
            with beneath("data_dir"):
                check_entry(self.data_dir)
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Settings:
        read_keys(self.signing_key, self.signing_key_file)
        return self

    def keyring(self) -> Keyring:
        """Returns the keys that sign and verify what crosses Redis; none where none are set."""
        return Keyring(read_keys(self.signing_key, self.signing_key_file))

    def metrics(self, port: int | None = None) -> Endpoint | None:
        """Returns the endpoint of the metrics, ``None`` for none; ``port`` is that of the command line.

        Raises:
            BadInput: other machines could read them without a password, or the password cannot be read.
        """
        if not (chosen := self.metrics_port if port is None else port):
            return None
        with bad_settings_are_bad_input():
            password = read_secret(METRICS_PASSWORD, self.metrics_password, self.metrics_password_file)
            return Endpoint(chosen, self.metrics_address, password)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings. An empty variable counts as unset, a foreign ``ORCHESTRATOR_*`` one is left alone.

    Args:
        environ: What to read; the environment of the process by default.

    Raises:
        BadInput: a variable is wrong or nearly named like a known one; passwords are masked in the message.
    """
    given = os.environ if environ is None else environ
    fields = {PREFIX + field.upper(): field for field in Settings.model_fields}
    for name in given:
        _check_name(name, set(fields))
    values = {field: text for name, field in fields.items() if (text := given.get(name, "").strip())}
    try:
        with bad_settings_are_bad_input():
            return Settings.model_validate(values)
    except ValidationError as error:
        raise _bad_input(error) from None


@contextmanager
def bad_settings_are_bad_input() -> Iterator[None]:
    """Raises ``BadInput`` instead of ``BadSetting``, which the code that workers share raises."""
    try:
        yield
    except BadSetting as error:
        raise BadInput(error.variable, error.problem, error.remedy) from None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a worker: without the secrets of the control plane."""
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
    field = str((*first["loc"], *getattr(fault, "key", ()))[0])
    variable = PREFIX + field.upper()
    if isinstance(fault, Fault):
        return BadInput(variable, fault.problem, fault.remedy)
    return BadInput(variable, f"is {str(first['input'])[:60]!r}", _remedy(field, first["type"], context))


def _remedy(field: str, kind: str, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        return f"it must be {context['expected']}"
    if kind.startswith("bool"):
        return "it must be 1 or 0"
    if field == "metrics_port":
        return "it must be a port, or 0 for none"
    if field == "code_limit":
        return f"it must be a number of bytes, at most {256 << 20}"
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
        raise BadInput(where, f"cannot be created: {reason_of(error)}", remedy) from None
    try:
        # Only trying tells: root passes every permission check, and a file system may be read-only or full.
        with tempfile.NamedTemporaryFile(dir=path, prefix=".probe-"):
            pass
    except OSError as error:
        raise BadInput(where, f"takes no files: {reason_of(error)}", remedy) from None
    return path.resolve()
