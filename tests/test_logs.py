"""One JSON object a line, from every process, with the ids of what was going on and nothing that people typed."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import UUID

import dramatiq
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.probe import probe_app
from webapp.app import create_app
from webapp.cli_serve import (
    ROOT,
    Program,
    edge_program,
    environment_of,
    scheduler_program,
    web_program,
    worker_programs,
)
from webapp.config import Settings
from webapp.embedded.logs import ALARMING, Output
from webapp.embedded.processes import wait_until
from webapp.jobs.broker import broker
from webapp.jobs.signals import Signals
from webapp.lib.log import JsonLines, TextLines, logged


class Lines:
    """What was logged, as the lines of one process."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.handler = logging.StreamHandler(self.text)
        self.handler.setFormatter(JsonLines())

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]

    def of_requests(self) -> list[dict[str, Any]]:
        return [line for line in self.all() if line["logger"] == "webapp.signals.requests"]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything from INFO on that is logged during the test."""
    lines, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(lines.handler)
    root.setLevel(logging.INFO)
    yield lines
    root.setLevel(level)
    root.removeHandler(lines.handler)


def test_a_record_is_one_line_whatever_it_holds() -> None:
    """Formatted here and logged by nobody: pytest hands what is logged to another process, which takes no lone half."""
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        words = ("some.where", logging.ERROR, "", 0, "A lone \ud800 and\na break: %s", ("ü",), sys.exc_info())
        record = logging.LogRecord(*words)
    record.__dict__["fields"] = {"at": UUID(int=7)}
    (text,) = JsonLines().format(record).splitlines()
    line = json.loads(text)
    assert line["level"] == "ERROR"
    assert line["logger"] == "some.where"
    assert line["message"] == "A lone \ud800 and\na break: ü"
    assert line["at"] == str(UUID(int=7))
    assert line["exception"].startswith("Traceback (most recent call last)")
    assert line["exception"].endswith("RuntimeError: two\nlines")
    assert line["time"].endswith("+00:00")


def test_what_is_logged_meanwhile_carries_the_fields_and_nothing_afterwards_does(lines: Lines) -> None:
    log = logging.getLogger("here")
    with logged(job_id="7"):
        with logged(chunk=3):
            log.info("inside")
        log.info("outer")
    log.info("after")
    found = [(line["message"], line.get("job_id"), line.get("chunk")) for line in lines.all()]
    assert found == [("inside", "7", 3), ("outer", "7", None), ("after", None, None)]


def test_text_is_for_people() -> None:
    record = logging.LogRecord("here", logging.WARNING, "", 0, "It is %s.", ("late",), None)
    with logged(job_id="7"):
        assert TextLines().format(record).endswith("WARNING here It is late. job_id=7")


def test_a_request_is_a_line_without_its_query_and_its_body(lines: Lines, alice: Person) -> None:
    alice.client.get("/contacts?search=hush-hush")
    alice.client.post("/contacts", data={"email": "hush-hush@example.com"})
    seen, made = lines.of_requests()
    assert {name: seen[name] for name in ("method", "path", "status", "endpoint", "organisation_id")} == {
        "method": "GET",
        "path": "/contacts",
        "status": 200,
        "endpoint": "contacts.index",
        "organisation_id": str(alice.organisation_id),
    }
    assert seen["milliseconds"] > 0
    assert (made["method"], made["path"]) == ("POST", "/contacts")
    assert "hush-hush" not in lines.text.getvalue()


def test_every_answer_names_the_request_and_no_two_have_one_name(client: FlaskClient, lines: Lines) -> None:
    ids = [client.get(path).headers["X-Request-ID"] for path in ("/healthz", "/nowhere", "/contacts", "/healthz")]
    assert len(set(ids)) == 4
    assert [line["request_id"] for line in lines.of_requests()] == ids
    assert [line["endpoint"] for line in lines.of_requests()] == ["healthz", "none", "contacts.index", "healthz"]


@pytest.mark.parametrize(
    ("trusted", "given", "is_taken"),
    [
        (("127.0.0.1",), "01J-abc.def/7", True),
        ((), "01J-abc.def/7", False),
        (("10.0.0.0/8",), "01J-abc.def/7", False),
        (("127.0.0.1",), "a" * 200, False),
        (("127.0.0.1",), 'x" onload="', False),
        (("127.0.0.1",), "", False),
    ],
)
def test_only_a_trusted_proxy_names_a_request(
    services: Settings, trusted: tuple[str, ...], given: str, is_taken: bool
) -> None:
    client = create_app(replace(services, trusted_proxies=trusted)).test_client()
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is is_taken


def test_a_failure_can_be_found_by_the_number_on_its_page(services: Settings, alice: Person, lines: Lines) -> None:
    client = probe_app(services).test_client()
    client.set_cookie("session", cookie_of(alice))
    answer = client.get("/probe/boom")
    request_id = answer.headers["X-Request-ID"]
    assert answer.status_code == 500
    assert request_id in answer.text
    failed = [line for line in lines.all() if line["level"] == "ERROR"]
    assert [line["request_id"] for line in failed] == [request_id]
    assert "RuntimeError: boom" in failed[0]["exception"]
    assert request_id not in client.get("/nowhere").text


def cookie_of(person: Person) -> str:
    cookie = person.client.get_cookie("session")
    assert cookie is not None
    return cookie.value


def test_what_an_actor_logs_names_its_message(lines: Lines) -> None:
    message: dramatiq.Message[None] = dramatiq.Message("visits", "visits.roll_up", (), {}, {})
    proxy = dramatiq.MessageProxy(message)
    signals = Signals()
    signals.before_process_message(broker, proxy)
    logging.getLogger("actor").info("inside")
    signals.after_process_message(broker, proxy, exception=RuntimeError("no"))
    logging.getLogger("actor").info("after")
    inside, after = lines.all()
    assert (inside["message_id"], inside["actor"]) == (message.message_id, "visits.roll_up")
    assert "message_id" not in after


class Running:
    """A program as `footfall` starts it, and what it said."""

    def __init__(self, program: Program, settings: Settings, folder: Path, **environment: str) -> None:
        self.path = folder / program.name
        with self.path.open("wb") as output:
            self.process = subprocess.Popen(
                program.command,
                env={**os.environ, **environment_of(settings, program), **environment},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.path.read_text()

    def stop(self) -> list[dict[str, Any]]:
        """Its lines, each of which must be a record."""
        self.process.terminate()
        self.process.wait()
        return [json.loads(line) for line in self.text().splitlines()]


def programs(settings: Settings) -> list[tuple[Program, str]]:
    """Every program with a word that it says once it is at work."""
    return [
        (web_program(settings, "127.0.0.1"), "Spawning worker"),
        (edge_program(settings, "127.0.0.1"), "running on"),
        (worker_programs(settings, "visits")[0], "ready for action"),
        (scheduler_program(), "at work"),
    ]


@pytest.mark.parametrize("index", range(4), ids=["web", "edge", "visits", "scheduler"])
def test_every_process_logs_under_its_name_and_nothing_but_json(
    app: APIFlask, services: Settings, tmp_path: Path, free_ports: tuple[int, int], index: int
) -> None:
    settings = replace(services, port=free_ports[0], edge_port=free_ports[1])
    program, word = programs(settings)[index]
    running = Running(program, settings, tmp_path)
    is_at_work = wait_until(lambda: word in running.text(), 60)
    found = running.stop()
    assert is_at_work, found
    assert {line["process"] for line in found} == {program.name}
    assert all(line["level"] in {"INFO", "WARNING"} for line in found), found


def test_the_edge_says_nothing_of_single_requests(
    app: APIFlask, services: Settings, tmp_path: Path, free_ports: tuple[int, int]
) -> None:
    running = Running(edge_program(replace(services, edge_port=free_ports[1]), "127.0.0.1"), services, tmp_path)
    is_at_work = wait_until(lambda: "running on" in running.text(), 60)
    if is_at_work:
        HTTPConnection("127.0.0.1", free_ports[1]).request("GET", "/tracker.js?hush")
    found = running.stop()
    assert is_at_work, found
    assert not [line for line in found if "tracker.js" in line["message"]]


def test_people_may_have_text_and_less_of_it(app: APIFlask, services: Settings, tmp_path: Path) -> None:
    code = (
        "from webapp.process import begin_process as b; b('x'); import logging as l; l.info('quiet'); l.warning('Loud')"
    )
    for level, words in (("INFO", ["INFO root quiet", "WARNING root Loud"]), ("WARNING", ["WARNING root Loud"])):
        environment = {**os.environ, "LOG_FORMAT": "text", "LOG_LEVEL": level}
        run = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert [line.split(" ", 1)[1] for line in run.stderr.splitlines()] == words


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    import socket

    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def shown(tmp_path: Path, *lines: str) -> list[str]:
    """What the terminal shows of a child's lines."""
    said: list[str] = []
    output = Output("web", tmp_path / "web.log", said.append, ALARMING)
    output.feed("".join(f"{line}\n" for line in lines).encode())
    output.close()
    return said


def test_the_terminal_shows_alarming_records_as_people_read_them(tmp_path: Path) -> None:
    record = {"level": "ERROR", "message": "It broke.", "exception": "Traceback:\n  here\nKeyError: 'a'"}
    said = shown(tmp_path, json.dumps(record), json.dumps({"level": "INFO", "message": "All is well."}))
    assert said == [
        "      web | ERROR It broke.",
        "      web | Traceback:",
        "      web |   here",
        "      web | KeyError: 'a'",
    ]


def test_what_a_quiet_record_says_alarms_nobody(tmp_path: Path) -> None:
    record = {"level": "INFO", "message": "GET /ERROR Error: Traceback 404"}
    assert shown(tmp_path, json.dumps(record)) == []


def test_lines_that_are_no_records_are_judged_as_before(tmp_path: Path) -> None:
    said = shown(tmp_path, '{"WARNING": 1}', "{ WARNING", "nothing", "FATAL: no room")
    assert said == ['      web | {"WARNING": 1}', "      web | { WARNING", "      web | FATAL: no room"]
