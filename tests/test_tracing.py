"""Traces, as a collector on this machine receives them; and nothing of OpenTelemetry where none is named."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from webapp.cli_serve import ROOT, Program, edge_program, environment_of, web_program, worker_programs
from webapp.config import Settings
from webapp.embedded.processes import wait_until

sys.modules.pop("opentelemetry", None)  # which a process keeps out that traces nothing, as this one
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@dataclass(frozen=True)
class SeenSpan:
    """A span as it was received."""

    service: str
    name: str
    trace_id: bytes
    id: bytes
    parent_id: bytes
    attributes: dict[str, str]


class Receiver:
    """An OTLP/HTTP collector."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.spans: list[SeenSpan] = []
        self.paths: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {pair.key: str(pair.value) for pair in span.attributes}
                    ids = (span.trace_id, span.span_id, span.parent_span_id)
                    self.spans.append(SeenSpan(names["service.name"], span.name, *ids, attributes))

    def wait_for(self, name: str) -> SeenSpan:
        """The span of this name, once it is here."""
        assert wait_until(lambda: any(span.name == name for span in self.spans), 60), self.spans
        return next(span for span in self.spans if span.name == name)

    def children_of(self, parent: SeenSpan) -> list[SeenSpan]:
        return [span for span in self.spans if span.parent_id == parent.id]


class Handler(BaseHTTPRequestHandler):
    """Hands what is posted to the receiver."""

    receiver: Receiver

    def do_POST(self) -> None:
        self.receiver.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Not on the tests' output."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.receiver = Receiver(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler.receiver
    server.shutdown()
    server.server_close()


def environment(settings: Settings, receiver: Receiver, program: Program) -> dict[str, str]:
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **SOON}
    return {**os.environ, **environment_of(settings, program), **named}


@contextmanager
def running(program: Program, settings: Settings, receiver: Receiver, port: int | None = None) -> Iterator[None]:
    process = subprocess.Popen(program.command, env=environment(settings, receiver, program), cwd=ROOT)
    try:
        assert port is None or wait_until(lambda: is_listening(port), 60)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def ask(port: int, method: str, path: str, headers: dict[str, str], body: str = "") -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    return connection.getresponse().status


def test_a_request_is_a_span_with_its_statements_and_nobodys_secrets(
    services: Settings, receiver: Receiver, port: int, alice: Person
) -> None:
    cookie = alice.client.get_cookie("session")
    assert cookie is not None
    settings = replace(services, port=port)
    with running(web_program(settings, "127.0.0.1"), settings, receiver, port):
        headers = {"Cookie": f"session={cookie.value}"}
        assert ask(port, "GET", "/contacts?search=hush-hush", headers) == 200
        span = receiver.wait_for("GET /contacts")
        assert wait_until(lambda: bool(receiver.children_of(span)), 60)
    assert span.service == "footfall-web"
    assert "200" in span.attributes["http.response.status_code"]
    statements = [child for child in receiver.children_of(span) if "SELECT" in str(child.attributes)]
    assert statements
    assert {child.trace_id for child in statements} == {span.trace_id}
    assert receiver.paths == {"/v1/traces"}
    assert "hush-hush" not in str(receiver.spans)
    assert alice.email not in str(receiver.spans)


def test_a_beacon_is_a_span_of_the_edge_and_a_live_address_stays_secret(
    services: Settings, receiver: Receiver, port: int
) -> None:
    settings = replace(services, edge_port=port)
    with running(edge_program(settings, "127.0.0.1"), settings, receiver, port):
        assert ask(port, "POST", "/collect", {"Content-Type": "application/json"}, "{}") == 422
        assert ask(port, "GET", "/live/hush-hush", {}) == 403
        assert receiver.wait_for("POST /collect").service == "footfall-edge"
        receiver.wait_for("GET /live/{channel}")
    assert "hush-hush" not in str(receiver.spans)


SENDER = """
from webapp import tracing
from webapp.process import begin_process
begin_process("web")
from webapp.visits.tasks import roll_up
with tracing.span("POST /sender", "server", {}):
    roll_up.send()
tracing.end()
"""


def test_an_actors_run_belongs_to_the_request_that_sent_its_message(
    app: APIFlask, services: Settings, receiver: Receiver
) -> None:
    program = worker_programs(services, "visits")[0]
    with running(program, services, receiver):
        sender = Program("web", (sys.executable, "-c", SENDER))
        subprocess.run(sender.command, env=environment(services, receiver, sender), cwd=ROOT, check=True)
        sent, run = receiver.wait_for("POST /sender"), receiver.wait_for("visits.roll_up")
        assert wait_until(lambda: bool(receiver.children_of(run)), 60)
    assert run.trace_id == sent.trace_id
    assert run.service == "footfall-visits"
    enqueueing = {span.id for span in receiver.spans if span.trace_id == sent.trace_id} | {sent.id}
    assert run.parent_id in enqueueing
    lone = [span for span in receiver.spans if not span.parent_id and span.name not in {"POST /sender"}]
    assert lone == []  # looking into an empty queue, several times a second, is not traced


NOTHING = """
import sys
import asgi, wsgi
import webapp.scheduler, webapp.worker
print([name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module])
"""


def test_without_a_collector_nothing_of_it_is_imported(app: APIFlask) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    run = subprocess.run([sys.executable, "-c", NOTHING], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1:] == ["[]"], run.stderr
