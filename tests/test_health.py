"""`/healthz` asks nobody; `/readyz` asks everybody, waits for nobody for long, and tells no secrets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import owner_connection
from webapp.app import create_app
from webapp.config import Settings
from webapp.health import migration_heads
from webapp.jobs.workers import WORKERS_KEY, Worker, tell
from webapp.lib.redis import broker_client

NAMES = {"database", "migrations", "broker", "beacons", "uploads", "workers"}


@pytest.fixture
def worker(app: APIFlask, services: Settings) -> None:
    """A worker that was heard just now."""
    tell(broker_client(services), Worker(queues=("jobs",), threads=2).state())


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where somebody takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def ask(settings: Settings) -> tuple[int, dict[str, str]]:
    """The answer's status, and what is wrong with what."""
    answer = create_app(settings).test_client().get("/readyz")
    assert answer.json is not None
    dependencies = answer.json["dependencies"]
    assert set(dependencies) == NAMES
    assert answer.headers["Cache-Control"] == "no-store"
    problems = {name: found["detail"] for name, found in dependencies.items() if found["state"] == "problem"}
    assert answer.json["state"] == ("problem" if problems else "ok")
    return answer.status_code, problems


def test_a_process_that_serves_says_so(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.usefixtures("worker")
def test_it_is_ready_when_everything_answers(services: Settings) -> None:
    assert ask(services) == (200, {})


def test_without_a_worker_it_is_not(app: APIFlask, services: Settings) -> None:
    assert ask(services) == (503, {"workers": "No worker was heard lately, so background work waits."})


@pytest.mark.usefixtures("worker")
def test_a_worker_that_fell_silent_counts_as_none(services: Settings) -> None:
    broker = broker_client(services)
    [(worker_id, content)] = broker.hgetall(WORKERS_KEY).items()
    state = {**json.loads(content), "heard_ms": 0}
    broker.hset(WORKERS_KEY, worker_id, json.dumps(state))
    assert ask(services)[1].keys() == {"workers"}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("setting", "scheme", "names"),
    [
        ("database_url", "postgresql://owner:hush@{}/footfall", {"database", "migrations"}),
        ("redis_url", "redis://:hush@{}/0", {"broker", "workers"}),
        ("beacons_redis_url", "redis://:hush@{}/0", {"beacons"}),
    ],
)
@pytest.mark.parametrize("how", ["away", "silent"])
def test_a_server_that_does_not_answer_is_named_without_its_secrets(
    services: Settings, silent_port: int, setting: str, scheme: str, names: set[str], how: str
) -> None:
    address = f"127.0.0.1:{silent_port if how == 'silent' else 1}"
    changed: dict[str, Any] = {setting: scheme.format(address)}
    status, problems = ask(replace(services, **changed))
    assert status == 503
    assert problems == dict.fromkeys(names, "It does not answer.")


@pytest.mark.usefixtures("worker")
def test_a_store_that_cannot_be_written_is_named(services: Settings, tmp_path: Path) -> None:
    file = tmp_path / "uploads"
    file.write_text("no folder")
    words = "The folder of uploads is missing, or may not be written."
    assert ask(replace(services, uploads_url=f"file://{file}")) == (503, {"uploads": words})


@pytest.mark.usefixtures("worker")
def test_a_bucket_that_is_away_is_named(services: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    status, problems = ask(replace(services, uploads_url="s3://bucket"))
    assert (status, problems) == (503, {"uploads": "It does not answer."})


@pytest.mark.usefixtures("worker")
def test_tables_of_another_version_are_not_ready(services: Settings) -> None:
    heads = migration_heads()
    with owner_connection(services) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        try:
            status, problems = ask(services)
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", list(heads))
    assert status == 503
    assert problems["migrations"].startswith("The tables are at 0001, this version of Footfall needs")
