"""A small local server that answers as Unsplash's API does, and as it does on bad days.

    with serving_unsplash() as unsplash:
        unsplash.next_answers["/photos/random"] = [Answer(503)]

It runs alone too, for looking at pages: `python -m tests.pictures.unsplash_server 8123`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

KEY = "key-of-the-tests"
PHOTO_ID = "LBI7cgq3pbM"
RANDOM, IMAGE, DOWNLOAD = "/photos/random", f"/images/{PHOTO_ID}", f"/photos/{PHOTO_ID}/download"
WAIT_SECONDS = 60.0
JSON = {"Content-Type": "application/json", "X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "49"}
RATE_LIMIT_EXCEEDED = b"Rate Limit Exceeded"


@dataclass
class Answer:
    """What the server says.

    `missing` bytes are announced and never sent; `hang` waits until it is released; with `pause` the bytes come
    one by one, so many seconds apart.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    missing: int = 0
    hang: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class Unsplash:
    """Answers as it was told, each path in turn, and well after that; remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.next_answers: dict[str, list[Answer]] = {}
        self.image = jpeg()
        self.look: Callable[[str], None] = lambda path: None
        """Called with the path while a request waits for its answer."""
        self.released = threading.Event()
        self._lock = threading.Lock()

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            planned = self.next_answers.get(asked.path, [])
            answer = planned.pop(0) if planned else self._good_answer(asked)
        self.look(asked.path)
        if answer.hang:
            self.released.wait(WAIT_SECONDS)
        return answer

    def photo(self, **changes: Any) -> dict[str, Any]:
        """A photo as `GET /photos/random` describes it, as far as anybody here reads it."""
        return {
            "id": PHOTO_ID,
            "width": 5245,
            "height": 3497,
            "description": None,
            "alt_description": "a pair of red running shoes",
            "urls": {"regular": f"{self.url}{IMAGE}?w=1080&fm=jpg", "full": f"{self.url}{IMAGE}"},
            "links": {
                "html": f"https://unsplash.com/photos/{PHOTO_ID}",
                "download_location": f"https://api.unsplash.com{DOWNLOAD}?ixid=MnwxMTc4",
            },
            "user": {"name": "Annie Spratt", "links": {"html": "https://unsplash.com/@anniespratt"}},
            **changes,
        }

    def _good_answer(self, asked: Asked) -> Answer:
        if asked.path == IMAGE:
            return Answer(200, {"Content-Type": "image/jpeg"}, self.image)
        if asked.headers.get("authorization") != f"Client-ID {KEY}":
            return Answer(401, JSON, b'{"errors": ["OAuth error: The access token is invalid"]}')
        if asked.path == RANDOM:
            return Answer(200, JSON, json.dumps(self.photo()).encode())
        if asked.path == DOWNLOAD:
            return Answer(200, JSON, json.dumps({"url": f"{self.url}{IMAGE}"}).encode())
        return Answer(404, JSON, b'{"errors": ["Not found"]}')


def jpeg(width: int = 1080, height: int = 720, **options: Any) -> bytes:
    """A picture of some colours, as `urls.regular` would be."""
    written = BytesIO()
    down = Image.linear_gradient("L")
    across = down.rotate(90).resize((width, height))
    down = down.resize((width, height))
    Image.merge("RGB", (across, down, Image.new("L", (width, height), 96))).save(written, "JPEG", **options)
    return written.getvalue()


def _pieces(answer: Answer) -> Iterator[bytes]:
    if not answer.pause:
        yield answer.body
        return
    for position in range(len(answer.body)):
        yield answer.body[position : position + 1]
        time.sleep(answer.pause)


def handler_of(unsplash: Unsplash) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = unsplash.answer(Asked(parts.path, parse_qs(parts.query), headers))
            try:
                self._send(answer)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # whoever asked waits no longer

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body) + answer.missing)}.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in _pieces(answer):
                self.wfile.write(piece)
            self.close_connection = self.close_connection or bool(answer.missing)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving_unsplash(port: int = 0) -> Iterator[Unsplash]:
    """The server, in threads of its own, on this machine."""
    unsplash = Unsplash()
    server = ThreadingHTTPServer(("127.0.0.1", port), handler_of(unsplash))
    server.daemon_threads = True
    unsplash.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield unsplash
    finally:
        unsplash.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving_unsplash(int(sys.argv[1])) as served:
        print(f"UNSPLASH_URL={served.url} UNSPLASH_ACCESS_KEY={KEY}", flush=True)
        threading.Event().wait()
