"""Messages over the socket pair between keeper and trainer: four bytes of length, then msgpack."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import msgspec

from tasks.codec import encode
from tasks.limits import MAX_FRAME_BYTES

_LENGTH = struct.Struct("!I")


class SocketClosed(ConnectionError):
    """The other end is gone."""


class FrameTooLarge(ValueError):
    """A message is too large for the other end; none of it was sent."""


class FramedSocket:
    """One end of the pair. Any thread may send; one thread reads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: msgspec.Struct) -> None:
        """Writes one message.

        Raises:
            SocketClosed: the other end is gone.
            FrameTooLarge: the message is larger than ``MAX_FRAME_BYTES``.
        """
        data = encode(message)
        if len(data) > MAX_FRAME_BYTES:
            raise FrameTooLarge(
                f"{len(data) >> 20} MiB in one message, most of it attributes; at most {MAX_FRAME_BYTES >> 20} MiB can "
                "pass between a worker and its training process"
            )
        try:
            with self._sending:
                self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise SocketClosed(str(error)) from None

    def receive(self) -> list[bytes]:
        """Waits for bytes and reads them; returns the messages that are complete.

        Raises:
            SocketClosed: the other end is gone, and all its messages have been returned.
        """
        try:
            chunk = self._socket.recv(1 << 16)
        except OSError as error:
            raise SocketClosed(str(error)) from None
        if not chunk:
            raise SocketClosed("end of stream")
        self._buffer += chunk
        return list(self._complete())

    def close(self) -> None:
        self._socket.close()

    def _complete(self) -> Iterator[bytes]:
        at = 0
        size = len(self._buffer)
        while size - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, at)
            if length > MAX_FRAME_BYTES:
                raise SocketClosed(f"a frame of {length} bytes")
            if size - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            yield bytes(self._buffer[at : at + length])
            at += length
        del self._buffer[:at]
