"""A TCP proxy that loses what a network loses: it cuts connections, swallows what they carry, turns elsewhere."""

from __future__ import annotations

import contextlib
import socket
import threading

BUFFER = 65_536


class Proxy:
    """Passes connections to a port of this host on to another one.

    Args:
        target: The port.
    """

    def __init__(self, target: int) -> None:
        self._target: int | None = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._swallowed: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> None:
        """Ends every connection, and takes no new one until it is turned somewhere."""
        self._target = None
        self._drop()

    def turn_to(self, target: int) -> None:
        """Ends every connection; new ones go to ``target``."""
        self._target = target
        self._drop()

    def swallow(self) -> None:
        """Established connections stay, and carry nothing any more. New ones work."""
        with self._lock:
            self._swallowed |= {end for pair in self._pairs for end in pair}

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _drop(self) -> None:
        with self._lock:
            pairs, self._pairs, self._swallowed = self._pairs, [], set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._target is None:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), name="proxy", daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BUFFER):
                if source not in self._swallowed:
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
