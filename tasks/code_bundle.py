"""A code bundle: the source of an objective and the files beside it, named by their digest.

The encoding is canonical: names are sorted, and no time, owner or mode is kept. So the same files give the same digest
on every host. It holds plain files alone, and no link, device or mode can be written in it.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Final

import msgspec

BUNDLE: Final = "bundle"
"""Begins the reference of an objective in a bundle, and the entries of a worker's list that admit bundles."""

FORMAT: Final = 1
DIGEST_BYTES: Final = 32

LARGEST: Final = 256 << 20
"""Bytes of a bundle's encoding, unpacked."""

MOST_FILES: Final = 20_000
LONGEST_PATH: Final = 1_024
LONGEST_PART: Final = 255
"""Bytes of a file's path, and of one name in it."""


class BadBundle(ValueError):
    """An archive is no bundle, or not the one that was named; the message is one line."""


class BundledFile(msgspec.Struct, frozen=True, array_like=True):
    """One file: its path below the bundle's folder, with ``/`` between names, and its bytes."""

    path: str
    data: bytes


class CodeBundle(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The code of one objective.

    ``objective`` is its reference, ``module:function``, where the folders ``paths`` are on the import path; an empty
    one is the bundle's own. ``files`` are sorted by path.
    """

    objective: str
    # Their number is checked while they are read: some kilobytes of an archive could be millions of empty ones.
    files: Annotated[tuple[BundledFile, ...], msgspec.Meta(max_length=MOST_FILES)] = ()
    paths: Annotated[tuple[str, ...], msgspec.Meta(max_length=2 * MOST_FILES)] = ("",)
    format: int = FORMAT

    def __repr__(self) -> str:
        # A notebook shows what a cell returns: the files may be as long as books.
        return f"<CodeBundle {self.digest[:12]} of {self.objective!r}: {len(self.files)} files, {self.size} bytes>"

    @cached_property
    def encoded(self) -> bytes:
        """The canonical bytes, from which the digest is made."""
        return msgspec.msgpack.encode(self)

    @cached_property
    def digest(self) -> str:
        """BLAKE2b of the canonical bytes: 64 hexadecimal digits."""
        return digest_of(self.encoded)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(file.data) for file in self.files)

    def pack(self) -> bytes:
        """Returns the archive as it is stored and sent: the canonical bytes, compressed."""
        return zlib.compress(self.encoded, 6)


class CodeMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A code bundle on its way to workers. ``author`` is the signature of its digest by the process that handed the
    study over; empty where that has no key."""

    archive: bytes
    author: bytes = b""


def make_bundle(objective: str, files: Iterable[tuple[str, bytes]], paths: Iterable[str] = ("",)) -> CodeBundle:
    """Returns the bundle of these files.

    Raises:
        BadBundle: a path cannot be carried, two of them clash, or there is too much.
    """
    bundle = CodeBundle(
        objective=objective,
        files=tuple(BundledFile(path, data) for path, data in sorted(files)),
        paths=tuple(dict.fromkeys(paths)),
    )
    check(bundle)
    return bundle


def unpack(archive: bytes, digest: str) -> CodeBundle:
    """Returns the bundle of an archive.

    Raises:
        BadBundle: it is broken, too large, of another digest, or holds a path that leads out of its folder.
    """
    decompressor = zlib.decompressobj()
    try:
        encoded = decompressor.decompress(archive, LARGEST + 1)
    except zlib.error as error:
        raise BadBundle(f"the archive is broken: {error}") from None
    if len(encoded) > LARGEST:
        raise BadBundle(f"the archive unpacks to more than {LARGEST} bytes")
    if not decompressor.eof or decompressor.unused_data:
        raise BadBundle("the archive is cut off, or more than one")
    if (found := digest_of(encoded)) != digest:
        raise BadBundle(f"the archive has the digest {found[:12]}…, not {digest[:12]:.12}…")
    try:
        bundle = msgspec.msgpack.decode(encoded, type=CodeBundle)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadBundle(f"the archive is no bundle: {error}") from None
    if bundle.format != FORMAT:
        raise BadBundle(f"the bundle is of format {bundle.format}, and this program reads format {FORMAT}")
    check(bundle)
    return bundle


def check(bundle: CodeBundle) -> None:
    """Checks paths and sizes. Raises BadBundle."""
    if len(bundle.files) > MOST_FILES:
        raise BadBundle(f"it has {len(bundle.files)} files, and a bundle may have {MOST_FILES}")
    if bundle.size > LARGEST:
        raise BadBundle(f"its files have {bundle.size} bytes, and a bundle may have {LARGEST}")
    for path in filter(None, bundle.paths):
        if problem := path_problem(path):
            raise BadBundle(f"import folder {path[:200]!r} {problem}")
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for file in bundle.files:
        if problem := path_problem(file.path):
            raise BadBundle(f"file {file.path[:200]!r} {problem}")
        parts = [_folded(part) for part in file.path.split("/")]
        for depth in range(1, len(parts)):
            folder, spelled = "/".join(parts[:depth]), "/".join(file.path.split("/")[:depth])
            if folders.setdefault(folder, spelled) != spelled:
                raise BadBundle(f"folders '{folders[folder]}' and '{spelled}' differ only in case")
        path = "/".join(parts)
        if path in seen:
            same = seen[path] == file.path
            raise BadBundle(
                f"file '{file.path}' is there twice"
                if same
                else f"files '{seen[path]}' and '{file.path}' differ only in case"
            )
        seen[path] = file.path
    if both := next((path for path in seen if path in folders), ""):
        raise BadBundle(f"'{seen[both]}' is a file and a folder")


def path_problem(path: str) -> str:
    """Returns why a bundle cannot hold a file of this path, in words; empty where it can."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "has a name that is no UTF-8"
    if size > LONGEST_PATH:
        return f"has a path of more than {LONGEST_PATH} bytes"
    if path.startswith("/") or "\\" in path:
        return "is no relative path with '/' between its names"
    if not all(character.isprintable() for character in path):
        return "has control characters in its path"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "has an empty name, '.' or '..' in its path"
        if len(part.encode()) > LONGEST_PART:
            return f"has a name of more than {LONGEST_PART} bytes"
    return ""


def is_digest(text: str) -> bool:
    """Whether the text has the form of a bundle's digest: it becomes part of a Redis key, and a folder."""
    return len(text) == 2 * DIGEST_BYTES and all(each in "0123456789abcdef" for each in text)


def digest_of(encoded: bytes) -> str:
    """Returns the digest of a bundle's canonical bytes."""
    return blake2b(encoded, digest_size=DIGEST_BYTES, person=b"code-bundle").hexdigest()


def _folded(part: str) -> str:
    # Two names that some file system holds for one.
    return unicodedata.normalize("NFC", part).casefold()


def bundle_reference(digest: str, objective: str) -> str:
    """Returns how a job names the objective of a bundle.

    A worker of a version without bundles finds no module in it, and refuses it.
    """
    return f"{BUNDLE}:{digest}:{objective}"


def objective_of(reference: str) -> str:
    """Returns the ``module:function`` of a reference, in a bundle or not."""
    found = split_reference(reference)
    return reference if found is None else found[1]


def shown_reference(reference: str) -> str:
    """Returns a reference as a message names it: of a bundle with as much of its digest as tells it from others."""
    found = split_reference(reference)
    return f"{reference:.200}" if found is None else f"{found[1]:.200} of code bundle {found[0][:12]}"


def split_reference(reference: str) -> tuple[str, str] | None:
    """Returns the digest of a bundle and the reference in it; ``None`` where the objective is in no bundle."""
    kind, _, rest = reference.partition(":")
    digest, _, objective = rest.partition(":")
    return (digest, objective) if kind == BUNDLE and is_digest(digest) else None
