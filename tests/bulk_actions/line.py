"""A line that breaks, in front of a real server: files of any size, made while they are sent."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from webapp.cli_serve import web_program
from webapp.config import Settings

ROOT = Path(__file__).parent.parent.parent
ROW_BYTES = 64
BLOCK_ROWS = 16 * 1024
BLOCK_BYTES = ROW_BYTES * BLOCK_ROWS
HEADER = b"Email,First name".ljust(ROW_BYTES - 1) + b"\n"
NO_LINGER = struct.pack("ii", 1, 0)
SECONDS = 60.0


@dataclass(frozen=True)
class MadeFile:
    """A CSV of so many blocks of a megabyte; each is made when it is asked for, and no two are alike."""

    block_count: int

    @property
    def byte_count(self) -> int:
        return self.block_count * BLOCK_BYTES

    def block(self, number: int) -> bytes:
        first = number * BLOCK_ROWS
        rows = [b"%012d@example.com,%038d\n" % (row, row * 7) for row in range(first, first + BLOCK_ROWS)]
        return b"".join([HEADER, *rows[1:]] if number == 0 else rows)

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`."""
        end = self.byte_count if end is None else end
        for number in range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES)):
            first = number * BLOCK_BYTES
            yield self.block(number)[max(0, start - first) : end - first]

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


class Server:
    """A process that serves the app of these settings on a port of its own."""

    def __init__(self, settings: Settings, command: Sequence[str] | None = None) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program = web_program(replace(settings, port=port), "127.0.0.1")
        environment = {**os.environ, "DATA_DIR": str(settings.data_dir), "PYTHONPATH": str(ROOT), "PORT": str(port)}
        self._log = (settings.data_dir / "server.log").open("ab")
        self.process = subprocess.Popen(
            command or program.command,
            cwd=ROOT,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not self.answers():
            assert self.process.poll() is None, "The server ended."
            assert time.monotonic() < deadline, "The server does not answer."
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            connection = connect(self.url)
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """All of its processes at once: nobody gets to say a word."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)

    def close(self) -> None:
        self.kill()
        self._log.close()


class Sender:
    """A program with a key that sends a file by tus, from where the server says that it stopped."""

    def __init__(self, url: str, secret: str, file: MadeFile) -> None:
        self.url = url
        self.file = file
        self._headers = {"Authorization": f"Bearer {secret}", "Tus-Resumable": "1.0.0"}
        self.path = ""

    def begin(self) -> None:
        answer = self.ask("POST", "/api/v1/uploads", {"Upload-Length": str(self.file.byte_count)})
        assert answer.status == 201
        self.path = answer.headers["Location"]

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        connection = connect(self.url)
        connection.request(method, path, headers={**self._headers, **(headers or {})})
        answer = connection.getresponse()
        answer.read()
        return answer

    def offset(self) -> int:
        answer = self.ask("HEAD", self.path)
        assert answer.status == 200, answer.status
        return int(answer.headers["Upload-Offset"])

    def send(self, cut_at: int | None = None, *, rudely: bool = False) -> http.client.HTTPResponse | None:
        """Send the rest; the line is cut (with a goodbye or without) when it is `cut_at` bytes into the file."""
        offset = self.offset()
        connection = self._open(offset)
        for block in self.file.blocks(offset, cut_at):
            connection.send(block)
        if cut_at is not None:
            hang_up(connection, rudely=rudely)
            return None
        answer = connection.getresponse()
        answer.read()
        return answer

    def _open(self, offset: int) -> http.client.HTTPConnection:
        connection = connect(self.url)
        connection.putrequest("PATCH", self.path)
        own = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(self.file.byte_count - offset),
        }
        for name, value in {**self._headers, **own}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection

    def send_on(self) -> http.client.HTTPResponse:
        """Send the rest as a client does: while another request counts as being at work, ask again."""
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self.send()
            assert answer is not None
            if answer.status not in {409, 423}:
                return answer
            assert time.monotonic() < deadline, answer.status
            time.sleep(0.2)


def hang_up(connection: http.client.HTTPConnection, *, rudely: bool) -> None:
    """Close: with a FIN after the bytes that are on their way, or with a reset that throws them away."""
    if rudely and connection.sock:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    connection.close()


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def dying_command(place: str) -> list[str]:
    """A server that is killed at a certain place of its work."""
    return [sys.executable, "-m", "tests.bulk_actions.dying_server", place]
