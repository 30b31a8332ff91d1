"""The pages as they are served: by the very command, on a port, to people on good lines and bad ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPConnection

import pytest

from tests.conftest import Person
from webapp.app import POOL_SIZE
from webapp.cli_serve import ROOT, WEB_THREADS, child_environment, web_program
from webapp.config import Settings
from webapp.embedded.processes import wait_until

SLOW_SENDERS = WEB_THREADS - 10


@pytest.fixture
def port(services: Settings) -> Iterator[int]:
    """Where the pages are served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = web_program(replace(services, port=port), "127.0.0.1").command
    process = subprocess.Popen(command, env={**os.environ, **child_environment(services)}, cwd=ROOT)
    try:
        assert wait_until(lambda: is_listening(port), 30)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def cookie_of(person: Person) -> str:
    cookie = person.client.get_cookie("session")
    assert cookie is not None
    return f"session={cookie.value}"


def begin_form(port: int, cookie: str) -> socket.socket:
    """Send the beginning of a form whose rest never comes."""
    connection = socket.create_connection(("127.0.0.1", port), 5)
    head = f"POST /settings HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {cookie}\r\n"
    kind = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
    connection.sendall(f"{head}{kind}name=".encode())
    return connection


def test_slow_senders_keep_nobody_else_waiting(port: int, alice: Person) -> None:
    assert SLOW_SENDERS > POOL_SIZE
    with ExitStack() as stack:
        for _ in range(SLOW_SENDERS):
            stack.enter_context(begin_form(port, cookie_of(alice)))
        for _ in range(5):
            reader = HTTPConnection("127.0.0.1", port, timeout=10)
            reader.request("GET", "/settings", headers={"Cookie": cookie_of(alice)})
            assert reader.getresponse().status == 200
            reader.close()


def test_what_every_page_needs_is_ready_and_out_of_the_collectors_sight(services: Settings) -> None:
    """All of it was looked through every thirty pages or so, for a fifth of a second."""
    program = "import gc; from wsgi import app; print(len(app.jinja_env.cache), gc.get_freeze_count())"
    environment = {**os.environ, **child_environment(services)}
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout
    template_count, frozen_count = map(int, shown.split())
    assert template_count > 50
    assert frozen_count > 100_000
