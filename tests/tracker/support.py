"""Two small real servers: a website that embeds the tracker, and a collector that records its beacons."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from webapp.config import settings_from
from webapp.visits.tracker_script import tracker_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = tracker_script(settings_from({"SECRET_KEY": "of a test"}))
SITE_KEY = "site-key-of-alice"
WAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Received:
    """One request that reached the collector."""

    method: str
    path: str
    headers: dict[str, str]
    beacon: dict[str, Any]
    arrived_at: float


@dataclass
class Answer:
    """What the collector says to a beacon; `hang` keeps it waiting until the collector is released."""

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


class Collector:
    """Records every beacon; answers as it was told, in turn, and 202 after that."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.standing_answer = Answer()
        self.released = threading.Event()
        self._changed = threading.Condition()

    def record(self, received: Received) -> Answer:
        with self._changed:
            self.received.append(received)
            self._changed.notify_all()
            return self.answers.pop(0) if self.answers else self.standing_answer

    @property
    def beacons(self) -> list[dict[str, Any]]:
        return [received.beacon for received in self.received]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The beacons of one kind in order of arrival, each id once; a pageview does not say its kind."""
        by_id = {beacon["id"]: beacon for beacon in self.beacons if beacon.get("kind", "pageview") == kind}
        return list(by_id.values())

    def wait_for_kind(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        self.wait_for(lambda it: len(it.of_kind(kind)) >= count, f"fewer than {count} beacons of {kind} came")
        return self.of_kind(kind)

    @property
    def paths(self) -> list[str]:
        """The pages seen, in order of arrival, each beacon id once."""
        return ["/" + beacon["pageUrl"].split("/", 3)[3] for beacon in self.of_kind("pageview")]

    def wait_for(self, holds: Callable[[Collector], bool], what: str) -> None:
        """Wait until the condition holds, or fail with what was received instead."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self), WAIT_SECONDS), f"{what}: {self.received}"

    def wait_for_count(self, count: int) -> list[Received]:
        self.wait_for(lambda it: len(it.received) >= count, f"fewer than {count} requests came")
        return self.received[:]


def free_port() -> int:
    """One that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: a test's output is its assertions."""

    def answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def collector_handler(collector: Collector) -> type[QuietHandler]:
    """The edge as the tracker knows it: the script, and somewhere to post beacons."""
    allow = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            if SCRIPT.is_at(self.path):
                return self.answer(200, {"Content-Type": "text/javascript"}, SCRIPT.content)
            return self.answer(404, {})

        def do_OPTIONS(self) -> None:
            collector.record(Received("OPTIONS", self.path, dict(self.headers), {}, time.monotonic()))
            self.answer(204, allow)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received = Received("POST", self.path, dict(self.headers), json.loads(body), time.monotonic())
            answer = collector.record(received)
            if answer.hang:
                collector.released.wait(WAIT_SECONDS)
            try:
                self.answer(answer.status, {**allow, **answer.headers})
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the page that waited for this answer is gone

    return Handler


def website_handler(head: str, body: str = "", headers: dict[str, str] | None = None) -> type[QuietHandler]:
    """A website whose every page embeds the tracker; `/plain` does not, and `/missing` is not there."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            if self.path == "/favicon.ico":
                return self.answer(204, {})
            embedded = "" if self.path.startswith("/plain") else head
            html = f"<!doctype html><title>{self.path}</title>{embedded}<h1>{self.path}</h1>{body}"
            status = 404 if self.path.startswith("/missing") else 200
            return self.answer(status, {"Content-Type": "text/html; charset=utf-8", **(headers or {})}, html.encode())

    return Handler


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """Serve in a thread; yields the origin."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Stage:
    """A website, and the collector to which its pages report."""

    website: str
    edge: str
    collector: Collector


@contextmanager
def stage(
    *, attributes: str = "", before: str = "", after: str = "", body: str = "", headers: dict[str, str] | None = None
) -> Iterator[Stage]:
    """A website with the tracker, cross-origin to its collector; scripts may stand before and after it."""
    collector = Collector()
    with serving(collector_handler(collector)) as edge:
        snippet = f'<script defer src="{edge}/tracker.js" data-site-key="{SITE_KEY}" {attributes}></script>'
        with serving(website_handler(f"{before}{snippet}{after}", body, headers)) as website:
            try:
                yield Stage(website, edge, collector)
            finally:
                collector.released.set()
