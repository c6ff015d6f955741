"""HTTP Basic authentication (RFC 7617), as the pages that this program serves read it."""

from __future__ import annotations

import base64
import binascii


def credentials_of(header: str) -> bytes:
    """Returns ``user:password`` of an Authorization header; empty where it is no valid one of the scheme Basic.

    Compare the answer with ``hmac.compare_digest``.
    """
    scheme, _, encoded = header.partition(" ")
    try:
        return base64.b64decode(encoded.encode("latin-1"), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""
