"""`/metrics`: what every process counted, how the installation is, who may read it, and the dashboard that shows it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.bulk_actions.support import csv_of, import_file
from tests.conftest import Person
from tests.visits.support import add_site, make_beacon, post
from webapp import metrics
from webapp.accounts.service import create_api_key
from webapp.app import POOL_SIZE, create_app
from webapp.cli_serve import ROOT
from webapp.config import Settings
from webapp.extensions import db
from webapp.jobs.broker import broker
from webapp.lib import probe
from webapp.lib.log import process_name
from webapp.lib.redis import beacons_client, broker_client
from webapp.visits.backlog import COUNT_KEY

DASHBOARD = json.loads((ROOT / "docs" / "grafana" / "footfall.json").read_text())
Read = Callable[..., float]


def read(text: str, name: str, **labels: str) -> float:
    """A sample's value; 0 where there is none, as for what was never counted."""
    return next((value for found, their_labels, value in samples(text) if (found, their_labels) == (name, labels)), 0.0)


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


@pytest.fixture
def scrape(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Read:
    """The value of a sample, as it is now and not as it was a moment ago."""
    monkeypatch.setattr(probe, "GOOD_SECONDS", 0.0)

    def read_now(name: str, **labels: str) -> float:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        return read(answer.text, name, **labels)

    return read_now


# Who may read --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.9.9.9", {}, 200),
        ("::1", {}, 200),
        ("203.0.113.5", {}, 403),
        ("10.0.0.1", {}, 403),
        ("", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 403),
        ("203.0.113.5", {"Authorization": "Bearer right"}, 200),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.5", "Authorization": "Bearer right"}, 200),
        ("203.0.113.5", {"Authorization": "Bearer wrong"}, 403),
        ("203.0.113.5", {"Authorization": "Bearer rightt"}, 403),
        ("203.0.113.5", {"Authorization": "Bearer "}, 403),
    ],
)
def test_metrics_are_for_the_machine_and_for_whoever_has_the_token(
    app: APIFlask, services: Settings, address: str, headers: dict[str, str], status: int
) -> None:
    client = create_app(replace(services, metrics_token="right")).test_client()
    answer = client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("footfall_" in answer.text) is (status == 200)


def test_what_a_trusted_proxy_passes_on_is_not_from_the_machine(app: APIFlask, services: Settings) -> None:
    client = create_app(replace(services, trusted_proxies=("127.0.0.1",))).test_client()
    answer = client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    assert answer.status_code == 403
    assert "METRICS_TOKEN" in answer.text


def test_without_a_token_of_its_own_no_token_opens(client: FlaskClient) -> None:
    for token in ("", "None", "x"):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"}).status_code == 403


# What is counted -----------------------------------------------------------------------------------


def test_requests_are_counted_by_endpoint_and_status(scrape: Read, alice: Person) -> None:
    labels = {"method": "GET", "endpoint": "contacts.index", "status": "200"}
    before = scrape("footfall_http_requests_total", **labels)
    times = scrape("footfall_http_request_seconds_count", endpoint="contacts.index")
    for _ in range(3):
        alice.client.get("/contacts")
    assert scrape("footfall_http_requests_total", **labels) == before + 3
    assert scrape("footfall_http_request_seconds_count", endpoint="contacts.index") == times + 3


def test_what_strangers_make_up_makes_no_new_series(scrape: Read, client: FlaskClient) -> None:
    before = scrape("footfall_http_requests_total", method="other", endpoint="none", status="404")
    for number in range(3):
        client.open(f"/made-up-{number}", method=f"MADE{number}")
    assert scrape("footfall_http_requests_total", method="other", endpoint="none", status="404") == before + 3


def test_beacons_are_counted_by_outcome(app: APIFlask, services: Settings, alice: Person, scrape: Read) -> None:
    site = add_site(app, alice.organisation_id)
    outcomes = {"accepted": 3, "bad-page-url": 2, "malformed": 1}
    before = {outcome: scrape("footfall_beacons_total", outcome=outcome) for outcome in outcomes}
    good, bad = make_beacon(site.site_key), make_beacon(site.site_key, pageUrl="x")
    post(services, *[good] * 3)
    assert scrape("footfall_backlog_beacons") == 3
    post(services, bad, bad, b"no json")
    for outcome, count in outcomes.items():
        assert scrape("footfall_beacons_total", outcome=outcome) == before[outcome] + count
    assert scrape("footfall_backlog_beacons") > 3  # what is not counted is told through the stream


def test_visits_over_the_api_count_too(app: APIFlask, alice: Person, scrape: Read) -> None:
    site = add_site(app, alice.organisation_id)
    with app.app_context():
        _, secret = create_api_key(alice.organisation_id, "test")
        db.session.commit()
    before = scrape("footfall_beacons_total", outcome="accepted")
    body = [make_beacon(site.site_key), make_beacon(site.site_key)]
    headers = {"Authorization": f"Bearer {secret}"}
    assert app.test_client().post("/api/v1/visits", json=body, headers=headers).status_code == 202
    assert scrape("footfall_beacons_total", outcome="accepted") == before + 2


def test_rows_of_an_import_are_counted_by_outcome(app: APIFlask, alice: Person, scrape: Read) -> None:
    outcomes = ("created", "updated", "rejected")
    before = {outcome: scrape("footfall_import_rows_total", outcome=outcome) for outcome in outcomes}
    for rows in ([("a@example.com", "Ann"), ("b@example.com", "Bea"), ("no", "C")], [("a@example.com", "Anna")]):
        import_file(app, alice.organisation_id, csv_of(rows, ("email", "first_name")))
    after = {outcome: scrape("footfall_import_rows_total", outcome=outcome) for outcome in outcomes}
    assert {outcome: after[outcome] - before[outcome] for outcome in outcomes} == {
        "created": 2,
        "updated": 1,
        "rejected": 1,
    }


def test_ends_of_jobs_are_counted_with_their_times(scrape: Read) -> None:
    before = scrape("footfall_jobs_total", kind="test", state="completed")
    waits, runs = scrape("footfall_job_wait_seconds_count"), scrape("footfall_job_run_seconds_sum", kind="test")
    metrics.count_job_end("test", "completed", 0.5, 2.0)
    metrics.count_job_end("test", "completed")
    assert scrape("footfall_jobs_total", kind="test", state="completed") == before + 2
    assert scrape("footfall_job_wait_seconds_count") == waits + 1
    assert scrape("footfall_job_run_seconds_sum", kind="test") == runs + 2.0


# How the installation is ---------------------------------------------------------------------------


def test_what_waits_in_a_queue_has_its_age(scrape: Read, app: APIFlask) -> None:
    old: dramatiq.Message[Any] = dramatiq.Message("visits", "visits.roll_up", (), {}, {})
    old = old.copy(queue_name="visits", message_timestamp=old.message_timestamp - 90_000)
    broker.enqueue(old)
    broker.enqueue(old.copy(message_id="new", message_timestamp=old.message_timestamp + 90_000))
    assert scrape("footfall_queue_messages", queue="visits") == 2
    assert 90 <= scrape("footfall_queue_oldest_age_seconds", queue="visits") < 600
    assert scrape("footfall_queue_messages", queue="imports") == 0
    assert scrape("footfall_queue_oldest_age_seconds", queue="imports") == 0


def test_outcomes_that_wait_to_be_written_are_the_depth_of_their_queue(scrape: Read, services: Settings) -> None:
    client = broker_client(services)
    milliseconds = time.time_ns() // 1_000_000 - 60_000
    client.xadd("jobs:results", {"outcomes": "[]"}, id=f"{milliseconds}-0")
    assert scrape("footfall_queue_messages", queue="results") == 1
    assert 60 <= scrape("footfall_queue_oldest_age_seconds", queue="results") < 600


def test_the_backlog_has_an_age(scrape: Read, services: Settings) -> None:
    client = beacons_client(services)
    client.xadd("beacons", {"n": 7, "rows": b""}, id=f"{time.time_ns() // 1_000_000 - 60_000}-0")
    client.set(COUNT_KEY, 7)
    assert scrape("footfall_backlog_beacons") == 7
    assert 60 <= scrape("footfall_backlog_age_seconds") < 600


def test_a_server_that_is_away_leaves_only_its_own_numbers_out(app: APIFlask, services: Settings) -> None:
    away = replace(services, beacons_redis_url="redis://127.0.0.1:1/0")
    text = create_app(away).test_client().get("/metrics").text
    names = {name for name, _, _ in samples(text)}
    assert "footfall_backlog_beacons" not in names
    assert {"footfall_queue_messages", "footfall_jobs_waiting"} <= names
    assert read(text, "footfall_dependency_up", dependency="beacons") == 0
    assert read(text, "footfall_dependency_up", dependency="broker") == 1


def test_the_pool_says_how_full_it_is(services: Settings, app: APIFlask) -> None:
    app = create_app(services)
    client = app.test_client()
    name = {"process": process_name()}

    def now(state: str) -> float:
        return read(client.get("/metrics").text, "footfall_database_pool_connections", state=state, **name)

    with app.app_context():
        with db.engine.connect() as one, db.engine.connect():
            assert one.closed is False
            assert now("checked_out") == 2
        assert now("checked_out") == 0
        assert now("waiting") == 0
        assert now("size") == POOL_SIZE
        db.engine.dispose()


# Several processes ---------------------------------------------------------------------------------

COUNT = """
import os, sys, time
if sys.argv[2:]:
    os.getpid = lambda: int(sys.argv[2])
from webapp import metrics
from webapp.accounts.service import create_api_key
metrics.begin(sys.argv[1])
metrics.beacon_counter("accepted")(5)
metrics.count_request("GET", "here", 200, 0.1)
metrics.pool_gauge(sys.argv[1], "waiting").inc(3)
print("counted", flush=True)
sys.stdin.read()
"""
READ = """
from prometheus_client import generate_latest
from webapp.metrics import whole_registry
print(generate_latest(whole_registry()).decode())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """As `footfall` gives it to its processes."""
    return {**os.environ, metrics.FOLDER_VARIABLE: str(tmp_path / "metrics")}


@pytest.fixture
def count(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process of a name, which counts, and goes on until its input ends."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", COUNT, *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdin=pipe, stdout=pipe)
        running.append(process)
        assert process.stdout
        assert process.stdout.readline() == "counted\n"
        return process

    yield start
    for process in running:
        process.communicate()


def read_all(environment: dict[str, str]) -> str:
    """What a process that did not count says of all of them."""
    command = [sys.executable, "-c", READ]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_several_processes_count_adds_up(
    environment: dict[str, str], count: Callable[..., subprocess.Popen[str]]
) -> None:
    for name in ("edge", "worker", "worker"):
        count(name)
    text = read_all(environment)
    assert read(text, "footfall_beacons_total", outcome="accepted") == 15
    assert read(text, "footfall_http_request_seconds_bucket", endpoint="here", le="0.1") == 3
    assert read(text, "footfall_processes", process="worker") == 2
    assert read(text, "footfall_database_pool_connections", process="worker", state="waiting") == 6


def test_a_dead_process_is_no_longer_there_and_what_it_counted_is(
    environment: dict[str, str], count: Callable[..., subprocess.Popen[str]]
) -> None:
    count("worker")
    dying = count("worker")
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    text = read_all(environment)
    assert read(text, "footfall_beacons_total", outcome="accepted") == 10
    assert read(text, "footfall_processes", process="worker") == 1
    assert read(text, "footfall_database_pool_connections", process="worker", state="waiting") == 3


def test_a_container_that_starts_again_goes_on_counting_and_begins_the_present_anew(
    environment: dict[str, str], count: Callable[..., subprocess.Popen[str]]
) -> None:
    count("worker", "7").communicate()
    count("worker", "7")
    text = read_all(environment)
    assert read(text, "footfall_beacons_total", outcome="accepted") == 10
    assert read(text, "footfall_database_pool_connections", process="worker", state="waiting") == 3


def test_the_folder_can_begin_anew(environment: dict[str, str], count: Callable[..., subprocess.Popen[str]]) -> None:
    count("worker").communicate()
    metrics.empty(Path(environment[metrics.FOLDER_VARIABLE]))
    assert read(read_all(environment), "footfall_beacons_total", outcome="accepted") == 0


# The dashboard -------------------------------------------------------------------------------------


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> Iterator[str]:
    return (target["expr"] for panel in panels() for target in panel["targets"])


def exported(text: str) -> set[str]:
    """Every name that a query may ask for."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    parts = {f"{name}{suffix}" for name, kind in kinds.items() if kind == "histogram" for suffix in SUFFIXES}
    return set(kinds) | parts


SUFFIXES = ("_bucket", "_sum", "_count")


def test_every_metric_of_the_dashboard_is_exported(client: FlaskClient) -> None:
    asked = {name for query in queries() for name in re.findall(r"footfall_\w+", query)}
    assert len(asked) > 15
    assert asked <= exported(client.get("/metrics").text)


def test_every_metric_is_on_the_dashboard_and_in_the_manual(client: FlaskClient) -> None:
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name) for query in queries() for name in re.findall(r"footfall_\w+", query)
    }
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE))
    ours = {name for name in kinds if not name.endswith("_created")}
    assert ours == shown
    manual = (ROOT / "docs" / "operating.md").read_text()
    assert [name for name in ours if f"`{name}`" not in manual] == []


def test_the_dashboard_asks_whichever_prometheus_is_chosen_and_its_panels_lie_side_by_side() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${" + variable["name"] + "}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = [
        (x, y)
        for box in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_caddy_keeps_metrics_from_the_world() -> None:
    text = (ROOT / "Caddyfile").read_text()
    kept, rest = text.index("handle /metrics {\n\t\trespond "), text.index("reverse_proxy web:8000")
    assert kept < rest
