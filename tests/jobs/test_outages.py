"""Workers, Redis and PostgreSQL die in the middle of jobs: real processes and servers, nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest

from tests.jobs.outage_worker import TRACES
from webapp.config import Settings, settings_from
from webapp.embedded import postgres, redis
from webapp.embedded.processes import processes_in
from webapp.embedded.servers import running_servers
from webapp.lib.ids import uuid7
from webapp.lib.redis import broker_client

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 150.0
GROUPS = {
    "worker": ("2", "2", ("jobs",)),
    "system": ("1", "3", ("default", "results", "dead_letters")),
}
ADD_JOB = """
    INSERT INTO jobs (organisation_id, id, kind, queue, title, state, parameters, progress_count, attempt_count,
                      attempt_limit, redrive_count, in_chunks, created_at, run_at)
    VALUES (%s, %s, %s, 'jobs', 'A job', 'pending', %s, 0, 0, 3, 0, false, now(), now())
"""


@dataclass
class Outfit:
    """An installation without pages: its own servers, workers and scheduler."""

    settings: Settings
    environment: dict[str, str]
    organisation_id: UUID = field(default_factory=uuid7)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """A group of workers, or the scheduler; started again by whoever needs it when it dies."""
        command = [sys.executable, "-m", "webapp.scheduler"]
        if name in GROUPS:
            processes, threads, queues = GROUPS[name]
            size = ("--processes", processes, "--threads", threads, "--worker-shutdown-timeout", "20000")
            command = [sys.executable, "-m", "dramatiq", "tests.jobs.outage_worker", *size, "--queues", *queues]
        with (self.settings.data_dir / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def start_all(self) -> subprocess.Popen[bytes]:
        """Everything; returns the workers."""
        self.start("system")
        self.start("scheduler")
        return self.start("worker")

    def add(self, kind: str, count: int = 1, **parameters: int) -> list[UUID]:
        ids = [uuid7() for _ in range(count)]
        given = json.dumps({"milliseconds": 0, "steps": 1, **parameters})
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(ADD_JOB, [(self.organisation_id, job_id, kind, given) for job_id in ids])
        return ids

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.settings.database_url, autocommit=True)

    def states(self) -> Counter[str]:
        with self.connect() as connection:
            return Counter(row[0] for row in connection.execute("SELECT state FROM jobs"))

    def job(self, job_id: UUID) -> dict[str, Any]:
        columns = ("state", "attempt_count", "result", "error")
        with self.connect() as connection:
            row = connection.execute(f"SELECT {', '.join(columns)} FROM jobs WHERE id = %s", [job_id]).fetchone()
        assert row is not None
        return dict(zip(columns, row, strict=True))

    def outcomes_of(self, job_id: UUID) -> list[str]:
        query = "SELECT outcome FROM job_attempts WHERE job_id = %s ORDER BY number"
        with self.connect() as connection:
            return [row[0] for row in connection.execute(query, [job_id])]

    def traces(self) -> list[str]:
        path = self.settings.data_dir / TRACES
        return path.read_text().splitlines() if path.exists() else []

    def runs(self) -> Counter[UUID]:
        """How often each job's function was called, or made a step."""
        return Counter(UUID(line.split()[0]) for line in self.traces())

    def wait(self, is_reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_reached():
            assert time.monotonic() < deadline, f"Jobs: {self.states()}"
            time.sleep(0.05)

    def wait_until_over(self) -> None:
        self.wait(lambda: not {"pending", "retrying", "running"} & set(self.states()))

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                kill_family(process)


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """All of it at once, as when the machine's power goes: nobody gets to say a word."""
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    process.wait(10)


@pytest.fixture
def outfit() -> Iterator[Outfit]:
    data_dir = Path(tempfile.mkdtemp(prefix="footfall-outage-"))
    data_dir.chmod(0o755)
    settings = settings_from({"DATA_DIR": str(data_dir)})
    environment = {
        **os.environ,
        "DATA_DIR": str(data_dir),
        "PYTHONPATH": str(ROOT),
        "dramatiq_queue_prefetch": "2",
        "dramatiq_worker_timeout": "50",
    }
    made = Outfit(settings, environment)
    with running_servers(settings):
        subprocess.run([sys.executable, "-m", "webapp.cli", "migrate"], env=environment, cwd=ROOT, check=True)
        with made.connect() as connection:
            connection.execute(
                "INSERT INTO organisations (id, slug, name, time_zone, created_at) VALUES (%s, 'a', 'A', 'UTC', now())",
                [made.organisation_id],
            )
        try:
            yield made
        finally:
            made.end()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.mark.timeout(400)
def test_a_job_that_ends_while_postgresql_is_down_is_completed_without_running_again(outfit: Outfit) -> None:
    outfit.start_all()
    (job_id,) = outfit.add("pause", milliseconds=4_000)
    outfit.wait(lambda: outfit.job(job_id)["state"] == "running")
    kill_postgres(outfit)
    broker = broker_client(outfit.settings)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not broker.xlen("jobs:results"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    postgres.start_postgres(outfit.settings)
    outfit.wait_until_over()
    assert outfit.job(job_id) == {"state": "completed", "attempt_count": 1, "result": {"answer": 42}, "error": None}
    assert outfit.runs() == {job_id: 1}


@pytest.mark.timeout(400)
def test_postgresql_dies_under_load_and_every_job_has_run_once(outfit: Outfit) -> None:
    (walk,) = outfit.add("walk", milliseconds=50, steps=200)
    ids = outfit.add("pause", 300, milliseconds=20)
    outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 50)
    kill_postgres(outfit)
    time.sleep(2)
    postgres.start_postgres(outfit.settings)
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 301}
    assert outfit.runs() == {**dict.fromkeys(ids, 1), walk: 200}
    assert outfit.job(walk)["attempt_count"] == 1, "Work that goes on does not need the database in order to go on."


@pytest.mark.timeout(400)
def test_killed_workers_jobs_run_again_and_no_others_do(outfit: Outfit) -> None:
    ids = outfit.add("pause", 200, milliseconds=50)
    worker = outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 20)
    kill_family(worker)
    outfit.start("worker")
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 200}
    runs = outfit.runs()
    assert set(runs) == set(ids)
    assert all(runs[job_id] <= outfit.job(job_id)["attempt_count"] for job_id in ids)
    lost = [job_id for job_id in ids if outfit.outcomes_of(job_id) == ["lost", "completed"]]
    again = {job_id for job_id, count in runs.items() if count > 1}
    assert again <= set(lost)
    assert len(lost) <= 4, "No more were lost than the dead workers had threads."


@pytest.mark.timeout(400)
def test_a_job_that_kills_its_worker_is_dead_after_three_tries(outfit: Outfit) -> None:
    (job_id,) = outfit.add("kill_worker")
    outfit.start("system")
    outfit.start("scheduler")
    while outfit.job(job_id)["state"] != "dead":
        worker = outfit.start("worker")
        outfit.wait(lambda: worker.poll() is not None or outfit.job(job_id)["state"] == "dead")  # noqa: B023
    assert outfit.outcomes_of(job_id) == ["lost", "lost", "lost"]
    assert outfit.runs() == {job_id: 3}


@pytest.mark.timeout(400)
def test_redis_loses_everything_and_every_job_still_ends(outfit: Outfit) -> None:
    ids = outfit.add("pause", 200, milliseconds=50)
    outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 20)
    kill_redis(outfit)
    shutil.rmtree(redis.find_redis(outfit.settings, "broker").folder)
    redis.start_redis(outfit.settings, "broker")
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 200}
    assert set(outfit.runs()) == set(ids)


@pytest.mark.timeout(400)
def test_a_deploy_under_load_loses_and_repeats_nothing(outfit: Outfit) -> None:
    long = outfit.add("walk", 2, milliseconds=50, steps=200)
    short = outfit.add("pause", 400, milliseconds=30)
    old = outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 30 and len(outfit.traces()) > 100)
    outfit.start("worker")
    old.terminate()
    old.wait(PATIENCE_SECONDS)
    assert old.returncode == 0
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 402}
    runs = outfit.runs()
    assert {job_id: runs[job_id] for job_id in short} == dict.fromkeys(short, 1)
    traces = outfit.traces()
    for job_id in long:
        assert [line.split()[1] for line in traces if line.startswith(str(job_id))] == [str(n) for n in range(200)]
    assert any("handed over" in outfit.outcomes_of(job_id) for job_id in long)


def kill_postgres(outfit: Outfit) -> None:
    """Every process of the cluster at once, as when its machine fails."""
    cluster = postgres.find_cluster(outfit.settings)
    pid = int((cluster.folder / "postmaster.pid").read_text().splitlines()[0])
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, 10)


def kill_redis(outfit: Outfit) -> None:
    server = redis.find_redis(outfit.settings, "broker")
    (process,) = processes_in(server.folder, "redis-server")
    process.kill()
    process.wait(10)


@pytest.mark.timeout(400)
def test_a_job_that_ends_while_redis_is_down_is_completed_without_running_again(outfit: Outfit) -> None:
    outfit.start_all()
    (walk,) = outfit.add("walk", milliseconds=50, steps=200)
    (job_id,) = outfit.add("pause", milliseconds=3_000)
    outfit.wait(lambda: outfit.states()["running"] == 2)
    kill_redis(outfit)
    outfit.wait(lambda: outfit.job(job_id)["state"] == "completed")
    redis.start_redis(outfit.settings, "broker")
    (after,) = outfit.add("pause")
    outfit.wait(lambda: outfit.job(after)["state"] == "completed")
    outfit.wait_until_over()
    assert [outfit.job(one)["attempt_count"] for one in (job_id, walk)] == [1, 1]
    assert outfit.runs() == {job_id: 1, after: 1, walk: 200}
