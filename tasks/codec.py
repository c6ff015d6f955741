"""What crosses the wire as bytes: written, read, and held against what everybody behind can store."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from tasks.constraints import PREFIX
from tasks.contract import (
    MAX_DIGEST,
    MAX_EVENT_BYTES,
    MAX_FILENAME,
    MAX_ID,
    MAX_LOCATION,
    MAX_NAME,
    MAX_STEP,
    OLDEST,
    VERSION,
    Announcement,
    Artifact,
    ArtifactRef,
    Attribute,
    Checkpoint,
    CheckpointRef,
    Confirmation,
    Epoch,
    Event,
    Imported,
    Job,
    Paused,
    Reply,
    Started,
    StudyAttribute,
    Suggest,
    Unreadable,
)
from tasks.redis_keys import is_name
from tasks.trainer_messages import FromTrainer, ToTrainer

_LARGEST: Final = 2**63 - 1
_LOCATION: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class Malformed(ValueError):
    """Bytes that are not an event, a job or an answer of a protocol version that is read here."""


class OtherVersion(Malformed):
    """It may be well formed, in a protocol version that is not read here."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """An event without its body."""

    token: str
    runner: str
    seq: int
    version: int = 1


_INTEGER: Final = 1
_TEXT: Final = 2
"""Codes of the extensions by which travels what Optuna stores and msgpack has no form for: an integer of more than 64
bits, and text with lone surrogates."""


def decode_extension(code: int, data: memoryview) -> Any:
    """Reads such an extension; for ``ext_hook`` of a decoder."""
    if code == _INTEGER:
        return int(bytes(data), 16)
    if code == _TEXT:
        return bytes(data).decode(errors="surrogatepass")
    return msgspec.msgpack.Ext(code, bytes(data))


_event_decoder = msgspec.msgpack.Decoder(Event)
_head_decoder = msgspec.msgpack.Decoder(_Head)
_to_trainer = msgspec.msgpack.Decoder(ToTrainer, ext_hook=decode_extension)
_from_trainer = msgspec.msgpack.Decoder(FromTrainer)
_confirmation = msgspec.msgpack.Decoder(Confirmation)
_reply = msgspec.msgpack.Decoder(Reply, ext_hook=decode_extension)
_announcement = msgspec.msgpack.Decoder(Announcement)
_any = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Returns ``message`` as msgpack."""
    try:
        return _any.encode(message)
    except (OverflowError, UnicodeEncodeError):
        return _any.encode(_packed(msgspec.to_builtins(message)))


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
    event: Event = _decode(_event_decoder, data)
    _check_version("an event", event.version)
    if not 0 <= event.seq <= _LARGEST:
        raise Malformed(f"sequence number {event.seq}")
    for value in (event.token, event.runner, *msgspec.structs.astuple(event.body)):
        # What no database column can hold must not get as far as a transaction, where it would spoil its neighbours.
        if (type(value) is str and "\0" in value) or (type(value) is int and not -_LARGEST <= value <= _LARGEST):
            raise Malformed(f"a field that cannot be stored: {value!r:.100}")
    body = event.body
    if type(body) is Checkpoint:
        _check_checkpoint(body.ref)
    if type(body) is Artifact:
        _check_artifact(body.ref)
    if type(body) is Imported and len(body.digest) > MAX_DIGEST:
        raise Malformed(f"a digest of {len(body.digest)} characters")
    if type(body) is Epoch or type(body) is Paused:
        _check_step(body.step)
    if type(body) is Started and body.resume_step is not None:
        _check_step(body.resume_step)
    name = body.name if type(body) is Suggest else body.key if isinstance(body, Attribute | StudyAttribute) else ""
    longest = MAX_NAME - len(PREFIX) if type(body) is Attribute and body.kind == "constraint" else MAX_NAME
    if len(event.token) > MAX_ID or len(event.runner) > MAX_ID or len(name) > longest:
        raise Malformed(f"a name that is too long to be stored: {name or event.token!r:.100}")
    return event


def salvage(data: bytes, reason: str) -> Event | None:
    """Returns what can be told of bytes that are no event: whose they are and which place they take.

    ``None`` where that is not known either, or where the sender speaks a version that is not read here: it is not for
    us to drop what we could not understand.
    """
    try:
        head = _head_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    known = OLDEST <= head.version <= VERSION and 0 < head.seq <= _LARGEST
    if not known or len(head.token) > MAX_ID or len(head.runner) > MAX_ID:
        return None
    return Event(token=head.token, runner=head.runner, seq=head.seq, body=Unreadable(reason=reason[:MAX_NAME]))


def decode_confirmation(data: bytes) -> Confirmation:
    """Reads what is committed of an attempt.

    Raises:
        Malformed: it is not a confirmation.
    """
    return _decode(_confirmation, data)  # type: ignore[no-any-return]


def decode_reply(data: bytes) -> Reply:
    """Reads the answer to a ``suggest``.

    Raises:
        Malformed: it is not a reply.
    """
    return _decode(_reply, data)  # type: ignore[no-any-return]


def decode_announcement(data: bytes) -> Announcement:
    """Reads what the control plane says of itself.

    Raises:
        Malformed: it is no announcement.
    """
    return _decode(_announcement, data)  # type: ignore[no-any-return]


def decode_to_trainer(data: bytes) -> ToTrainer:
    """Reads a frame that a keeper sent."""
    return _decode(_to_trainer, data)  # type: ignore[no-any-return]


def decode_from_trainer(data: bytes) -> FromTrainer:
    """Reads a frame that a trainer sent."""
    return _decode(_from_trainer, data)  # type: ignore[no-any-return]


def job_to_payload(job: Job) -> dict[str, Any]:
    """Returns the job as plain data: the one argument of the Celery task."""
    payload: dict[str, Any] = msgspec.to_builtins(job)
    return payload


def signable(payload: object) -> bytes:
    """Returns the one spelling of a job as plain data, the same before and after JSON has carried it."""
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
    # They become names of folders and files.
    if not is_name(job.study):
        raise Malformed(f"a study that cannot be called {job.study!r:.100}")
    for part in (job.uid, job.token):
        if not is_location(part) or "/" in part:
            raise Malformed(f"an identity that names no file: {part!r:.100}")
    for ref in job.checkpoints:
        _check_checkpoint(ref)
    return job


def artifact_id(token: str, tail: str) -> str:
    """Returns the id of a file that attempt ``token`` keeps; ``tail`` is hexadecimal and new for each file.

    Ids tell whose they are, so that no attempt can name another one's file, and leftovers can be told from what is
    still to be announced. Hexadecimal digits and dashes are what optuna-dashboard serves.
    """
    return f"{token}-{tail}"


def is_artifact_of(token: str, id: str) -> bool:
    """Whether attempt ``token`` may have kept a file under this id."""
    return id.startswith(f"{token}-")


def is_checkpoint_of(token: str, location: str) -> bool:
    """Whether attempt ``token`` may have saved a checkpoint there."""
    return location.rpartition("/")[2].startswith(f"{token}-")


def is_location(text: str) -> bool:
    """Whether ``text`` is a path below a folder, spelt so that it means the same on every kind of store."""
    return (
        len(text) <= MAX_LOCATION
        and _LOCATION.fullmatch(text) is not None
        and not {".", ".."}.intersection(text.split("/"))
    )


def _check_checkpoint(ref: CheckpointRef) -> None:
    _check_step(ref.step)
    if not is_location(ref.location):
        raise Malformed(f"a checkpoint at {ref.location!r:.100}, which is no relative path")
    if len(ref.digest) > MAX_DIGEST or "\0" in ref.digest:
        raise Malformed(f"a checkpoint with the digest {ref.digest!r:.100}")
    if not 0 <= ref.size <= _LARGEST:
        raise Malformed(f"a checkpoint of {ref.size} bytes")


def _check_artifact(ref: ArtifactRef) -> None:
    if not is_location(ref.id) or "/" in ref.id:
        raise Malformed(f"an artifact that names no file: {ref.id!r:.100}")
    texts = (ref.id, ref.filename, ref.mimetype, ref.encoding or "")
    if any("\0" in text or len(text) > MAX_FILENAME for text in texts) or not 0 <= ref.size <= _LARGEST:
        raise Malformed(f"an artifact that cannot be described: {ref.filename!r:.100}")
    if ref.filename.startswith("/") or ".." in ref.filename.split("/"):
        # Somebody may download it under that name.
        raise Malformed(f"an artifact whose name leads out of a folder: {ref.filename!r:.100}")


def _check_version(what: str, version: int) -> None:
    if not OLDEST <= version <= VERSION:
        raise OtherVersion(f"{what} of protocol version {version} (versions {OLDEST} and {VERSION} are read here)")


def _check_step(step: int) -> None:
    if not 0 <= step <= MAX_STEP:
        raise Malformed(f"step {step} (a step is 0 to {MAX_STEP})")


def _decode(decoder: Any, data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise Malformed(str(error)) from None
