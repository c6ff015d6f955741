"""Limits of what messages carry, and the types of their fields, which a decoder checks."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

MAX_EVENT_BYTES: Final = 1 << 20
MAX_FRAME_BYTES: Final = 64 << 20
"""Longest message between a keeper and its trainer."""
MAX_SHOWN_BYTES: Final = MAX_FRAME_BYTES // 2
"""Largest study that an objective can read; it becomes such a message."""
MAX_NAME: Final = 512
MAX_ID: Final = 64
"""Characters in the columns for names, and for tokens and runners."""
MAX_LOCATION: Final = 512
MAX_FILENAME: Final = 400
"""Characters of an artifact's name or id, which with a prefix must fit into an attribute's key."""
MAX_DIGEST: Final = 128
MAX_STEP: Final = 2**31 - 1
MAX_INTEGER: Final = 2**63 - 1

_DOTS: Final = r"(?!(.*/)?\.{1,2}(/|\Z))"
"""No part of a path is ``.`` or ``..``."""
_SAFE: Final = r"[A-Za-z0-9._-]+"
_NO_NUL: Final = r"\A[^\0]*\Z"

# What a reader checks of a field: that a column can hold it, and that a name of a file leads nowhere else.
Step = Annotated[int, Meta(ge=0, le=MAX_STEP)]
Size = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Id = Annotated[str, Meta(max_length=MAX_ID)]
Name = Annotated[str, Meta(max_length=MAX_NAME)]
Digest = Annotated[str, Meta(max_length=MAX_DIGEST, pattern=_NO_NUL)]
Location = Annotated[str, Meta(max_length=MAX_LOCATION, pattern=rf"\A{_DOTS}{_SAFE}(/{_SAFE})*\Z")]
"""A path below a folder, in characters that every kind of store takes."""
FileName = Annotated[str, Meta(max_length=MAX_FILENAME, pattern=rf"\A{_DOTS}{_SAFE}\Z")]
"""The name of a file in a store."""
Label = Annotated[str, Meta(max_length=MAX_FILENAME, pattern=r"(?s)\A(?!/)(?!(.*/)?\.\.(/|\Z))[^\0]*\Z")]
"""A name for people, under which a file may be downloaded."""
MimeType = Annotated[str, Meta(max_length=MAX_FILENAME, pattern=_NO_NUL)]
