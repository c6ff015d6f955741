"""Encoding of the messages: written, read, and checked against what the databases behind can store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tasks.code_bundle import CodeMessage
from tasks.constraints import PREFIX
from tasks.contract import (
    OLDEST,
    VERSION,
    Announcement,
    Attribute,
    Confirmation,
    Epoch,
    Event,
    Job,
    Reply,
    Unreadable,
)
from tasks.limits import MAX_EVENT_BYTES, MAX_INTEGER, MAX_NAME, Id, Location, Size
from tasks.redis_keys import is_name
from tasks.trainer_messages import FromTrainer, ToTrainer


class Malformed(ValueError):
    """Bytes that are no event, job or answer of a protocol version that is read here."""


class OtherVersion(Malformed):
    """A message that may be well formed, of a protocol version that is not read here."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """An event without its body."""

    token: Id
    runner: Id
    seq: Size
    version: int = 1


_INTEGER: Final = 1
_TEXT: Final = 2
"""Codes of the extensions for what Optuna stores and msgpack has no form for: integers of more than 64 bits, and text
with lone surrogates."""

_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


def decode_extension(code: int, data: memoryview) -> Any:
    """Reads such an extension; for ``ext_hook`` of a decoder."""
    if code == _INTEGER:
        return int(bytes(data), 16)
    if code == _TEXT:
        return bytes(data).decode(errors="surrogatepass")
    return msgspec.msgpack.Ext(code, bytes(data))


def _reader(kind: Any) -> Callable[[bytes], Any]:
    """Returns a function that reads messages of this type from msgpack, and raises Malformed for anything else."""
    decoder = msgspec.msgpack.Decoder(kind, ext_hook=decode_extension)

    def read(data: bytes) -> Any:
        try:
            return decoder.decode(data)
        except _DECODE_ERRORS as error:
            raise Malformed(str(error)) from None

    return read


decode_confirmation: Final[Callable[[bytes], Confirmation]] = _reader(Confirmation)
decode_reply: Final[Callable[[bytes], Reply]] = _reader(Reply)
decode_code: Final[Callable[[bytes], CodeMessage]] = _reader(CodeMessage)
decode_announcement: Final[Callable[[bytes], Announcement]] = _reader(Announcement)
decode_to_trainer: Final[Callable[[bytes], ToTrainer]] = _reader(ToTrainer)
decode_from_trainer: Final[Callable[[bytes], FromTrainer]] = _reader(FromTrainer)
_read_event: Final[Callable[[bytes], Event]] = _reader(Event)
_read_head: Final[Callable[[bytes], _Head]] = _reader(_Head)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Returns a message as msgpack."""
    try:
        return _encoder.encode(message)
    except (OverflowError, UnicodeEncodeError):
        return _encoder.encode(_packed(msgspec.to_builtins(message)))


def _packed(value: Any) -> Any:
    """Returns plain data with extensions for what msgpack has no form for."""
    if isinstance(value, dict):
        return {_shown(key): _packed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(part) for part in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(_INTEGER, hex(value).encode())
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return msgspec.msgpack.Ext(_TEXT, value.encode(errors="surrogatepass"))
    return value


def _shown(key: Any) -> Any:
    """Returns a key, which must stay a text: its lone surrogates are written out."""
    return key.encode(errors="backslashreplace").decode() if isinstance(key, str) else key


def decode_event(data: bytes) -> Event:
    """Reads one entry of the stream.

    Raises:
        Malformed: it is not an event of a protocol version that is read here.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise Malformed(f"an event of {len(data)} bytes (the limit is {MAX_EVENT_BYTES})")
    event = _read_event(data)
    _check_version("an event", event.version)
    body = event.body
    # Most events are epochs, whose own fields hold nothing that their types do not allow.
    fields = () if type(body) is Epoch else msgspec.structs.astuple(body)
    for value in (event.token, event.runner, *fields):
        # Checked here: what no column can hold would fail the transaction of other events, too.
        if (type(value) is str and "\0" in value) or (type(value) is int and abs(value) > MAX_INTEGER):
            raise Malformed(f"a field that cannot be stored: {value!r:.100}")
    if type(body) is Attribute and body.kind == "constraint" and len(body.key) > MAX_NAME - len(PREFIX):
        raise Malformed(f"a name that is too long to be stored: {body.key!r:.100}")
    return event


def salvage(data: bytes, reason: str) -> Event | None:
    """Returns an ``Unreadable`` event in the place of bytes that are no event, if their runner and number can be read.

    ``None`` where they cannot, or where the sender speaks a version that is not read here: its events are kept.
    """
    try:
        head = _read_head(data)
    except Malformed:
        return None
    if not OLDEST <= head.version <= VERSION or not head.seq:
        return None
    return Event(token=head.token, runner=head.runner, seq=head.seq, body=Unreadable(reason=reason[:MAX_NAME]))


def job_to_payload(job: Job) -> dict[str, Any]:
    """Returns the job as plain data: the one argument of the Celery task."""
    payload: dict[str, Any] = msgspec.to_builtins(job)
    return payload


def signable(payload: object) -> bytes:
    """Returns the canonical bytes of a job as plain data, the same before and after its way through JSON."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()


def job_from_payload(payload: object) -> Job:
    """Reads the argument of the Celery task.

    Raises:
        Malformed: it is not a job of a protocol version that is read here.
    """
    try:
        job = msgspec.convert(payload, Job)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Malformed(str(error)) from None
    _check_version("a job", job.version)
    # It becomes the name of a folder.
    if not is_name(job.study):
        raise Malformed(f"a study that cannot be called {job.study!r:.100}")
    return job


def artifact_id(token: str, tail: str) -> str:
    """Returns the id of a file of attempt ``token``; ``tail`` is hexadecimal and new for each file.

    It begins with the token, so that no attempt can name another one's file, and leftovers can be told from files that
    are still to be announced. optuna-dashboard serves ids of hexadecimal digits and dashes.
    """
    return f"{token}-{tail}"


def is_artifact_of(token: str, id: str) -> bool:
    """Whether this id is one of attempt ``token``."""
    return id.startswith(f"{token}-")


def is_checkpoint_of(token: str, location: str) -> bool:
    """Whether this location is one of attempt ``token``."""
    return location.rpartition("/")[2].startswith(f"{token}-")


def is_location(text: str) -> bool:
    """Whether ``text`` is a ``Location``."""
    try:
        msgspec.convert(text, Location)
    except msgspec.ValidationError:
        return False
    return True


def _check_version(what: str, version: int) -> None:
    if not OLDEST <= version <= VERSION:
        raise OtherVersion(f"{what} of protocol version {version} (versions {OLDEST} and {VERSION} are read here)")
