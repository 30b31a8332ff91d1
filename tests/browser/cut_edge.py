"""What stands between a browser and the edge, and may spoil its streams: a small proxy with a will of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from urllib.parse import urlsplit

BLOCK = 65_536


class Mode(Enum):
    """What becomes of a connection that begins now."""

    PASS = "pass"
    SILENT = "silent"
    """It is taken, and never answered."""
    GATHER = "gather"
    """The edge is asked, and its answer is kept back."""
    CUT = "cut"
    """It is closed at once."""


class CutEdge:
    """A proxy in front of the edge. Every mode but PASS also ends the connections that were open."""

    def __init__(self, edge_url: str) -> None:
        self.edge = urlsplit(edge_url)
        self.connection_count = 0
        self._mode = Mode.PASS
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def chromium_arguments(self) -> list[str]:
        """Lead a browser here when it means the edge, which notices nothing."""
        port = self._server.getsockname()[1]
        return [f"--host-resolver-rules=MAP {self.edge.hostname}:{self.edge.port} 127.0.0.1:{port}"]

    def switch(self, mode: Mode) -> None:
        """From now on connections fare this way; those that are open end."""
        self._mode = mode
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.switch(Mode.CUT)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connection_count += 1
                threading.Thread(target=self._take, args=(client,), daemon=True).start()

    def _take(self, client: socket.socket) -> None:
        mode = self._mode
        with self._keeping(client):
            if mode is Mode.SILENT:
                _read_on(client)
            elif mode is not Mode.CUT:
                with suppress(ConnectionRefusedError):  # the edge is away: so is its proxy
                    self._connect(client, mode)

    def _connect(self, client: socket.socket, mode: Mode) -> None:
        with socket.create_connection((self.edge.hostname, self.edge.port)) as edge, self._keeping(edge):
            threading.Thread(target=_copy, args=(client, edge), daemon=True).start()
            if mode is Mode.GATHER:
                _read_on(edge)
            else:
                _copy(edge, client)

    @contextmanager
    def _keeping(self, one: socket.socket) -> Iterator[None]:
        self._open.add(one)
        try:
            yield
        finally:
            self._open.discard(one)
            one.close()


def _read_on(one: socket.socket) -> None:
    with suppress(OSError):
        while one.recv(BLOCK):
            pass


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK):
            target.sendall(block)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
