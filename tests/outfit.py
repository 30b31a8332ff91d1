"""An installation of real processes and servers that tests may kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import psutil
import psycopg

from webapp.config import Settings, settings_from
from webapp.embedded import postgres, redis
from webapp.embedded.processes import processes_in
from webapp.embedded.servers import running_servers
from webapp.lib.ids import uuid7

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 150.0
GROUPS = {
    "worker": ("2", "2", ("jobs", "imports")),
    "system": ("1", "3", ("default", "results", "dead_letters")),
}


@dataclass
class Outfit:
    """An installation without pages: its own servers, workers and scheduler. Its workers load `actors`."""

    actors: ClassVar[str] = "tests.jobs.outage_worker"

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
            command = [sys.executable, "-m", "dramatiq", self.actors, *size, "--queues", *queues]
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

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.settings.database_url, autocommit=True)

    def describe(self) -> str:
        """How far its jobs are, for the message of a test that waits in vain."""
        with self.connect() as connection:
            return str(connection.execute("SELECT kind, state, count(*) FROM jobs GROUP BY 1, 2").fetchall())

    def wait(self, is_reached: Callable[[], bool]) -> None:
        """Look again and again; a database that is away has not reached anything."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _holds(is_reached):
            assert time.monotonic() < deadline, self.describe()
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                kill_family(process)


def _holds(is_reached: Callable[[], bool]) -> bool:
    try:
        return is_reached()
    except psycopg.OperationalError:
        return False


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """All of it at once, as when the machine's power goes: nobody gets to say a word."""
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    process.wait(10)


AnyOutfit = TypeVar("AnyOutfit", bound=Outfit)


@contextmanager
def running_outfit(kind: type[AnyOutfit], **given: str) -> Iterator[AnyOutfit]:
    """An installation of its own, of this kind and with these settings, until the block ends."""
    data_dir = Path(tempfile.mkdtemp(prefix="footfall-outage-"))
    data_dir.chmod(0o755)
    given = {"DATA_DIR": str(data_dir), **given}
    settings = settings_from(given)
    environment = {
        **os.environ,
        **given,
        "PYTHONPATH": str(ROOT),
        "dramatiq_queue_prefetch": "2",
        "dramatiq_worker_timeout": "50",
    }
    made = kind(settings, environment)
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


def kill_postgres(outfit: Outfit) -> None:
    """Every process of the cluster at once, as when its machine fails."""
    cluster = postgres.find_cluster(outfit.settings)
    pid = int((cluster.folder / "postmaster.pid").read_text().splitlines()[0])
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):  # it fell with the one before it
            process.kill()
    psutil.wait_procs(family, 10)


def kill_redis(outfit: Outfit, name: str = "broker") -> None:
    server = redis.find_redis(outfit.settings, name)
    (process,) = processes_in(server.folder, "redis-server")
    process.kill()
    process.wait(10)
