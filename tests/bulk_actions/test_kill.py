"""`kill -9` of real workers in the middle of an import: what the contacts hold at the end is exactly the file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import contacts, count_rows, csv_of, read, start
from tests.conftest import owner_connection
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.tasks import sweep
from webapp.config import Settings
from webapp.jobs.broker import waiting_count

ROOT = Path(__file__).parent.parent.parent
ROW_COUNT = 30_000
SECONDS = 120.0
SWEEP_SECONDS = 0.5


class Workers:
    """Dramatiq with two processes, started again after every kill."""

    def __init__(self, settings: Settings, actors: str = "webapp.worker") -> None:
        self._actors = actors
        self._environment = {
            **os.environ,
            "DATA_DIR": str(settings.data_dir),
            "PYTHONPATH": str(ROOT),
            "dramatiq_queue_prefetch": "2",
            "dramatiq_worker_timeout": "50",
        }
        self._log = (settings.data_dir / "workers.log").open("ab")
        self.start()

    def start(self) -> None:
        size = ("--processes", "2", "--threads", "2", "--queues", "imports", "default")
        command = [sys.executable, "-m", "dramatiq", self._actors, *size]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def kill(self) -> None:
        """All of it at once, as when the machine's power goes: nobody gets to say a word."""
        family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

    def close(self) -> None:
        self.kill()
        self._log.close()


@pytest.fixture
def workers(app: APIFlask, services: Settings) -> Iterator[Workers]:
    running = Workers(services)
    yield running
    running.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("phase", "is_reached"),
    [
        ("staging", lambda bulk_action: bulk_action.staged_chunk_count >= 2),
        ("merging", lambda bulk_action: bulk_action.merged_partition_count >= 2),
    ],
)
def test_killed_workers_neither_lose_nor_double_a_row(
    app: APIFlask,
    services: Settings,
    organisation_id: UUID,
    workers: Workers,
    phase: str,
    is_reached: Callable[[BulkAction], bool],
) -> None:
    rows = [[f"p{n % (ROW_COUNT - 500)}@example.com", f"N{n}", "", "", "", "", "Köln"] for n in range(ROW_COUNT)]
    bulk_action_id = start(app, organisation_id, csv_of(rows))
    killed_in = wait_for(app, organisation_id, bulk_action_id, is_reached)
    workers.kill()
    assert not killed_in.state.is_final, f"The import was over before anybody could be killed in the middle of {phase}."
    workers.start()
    bulk_action = wait_for(app, organisation_id, bulk_action_id, lambda found: found.state.is_final)
    assert (bulk_action.error, bulk_action.state) == (None, BulkActionState.COMPLETED)
    assert bulk_action.created_count == ROW_COUNT - 500
    assert (bulk_action.duplicate_count, bulk_action.updated_count, bulk_action.rejected_count) == (500, 0, 0)
    expected = {row[0]: row[1] for row in rows}
    assert {row[0]: row[1] for row in contacts(services, organisation_id)} == expected
    wait_for(app, organisation_id, bulk_action_id, lambda found: found.cleaned_at is not None)
    assert count_rows(services, "staged_contacts") == 0
    with owner_connection(services) as connection:
        assert connection.execute("SELECT count(*) FROM replaced_rows").fetchone() == (500,)


def wait_for(
    app: APIFlask, organisation_id: UUID, bulk_action_id: UUID, is_reached: Callable[[BulkAction], bool]
) -> BulkAction:
    """Look again and again, sending what the scheduler would send; the last look is returned."""
    deadline, swept_at = time.monotonic() + SECONDS, 0.0
    while True:
        bulk_action = read(app, organisation_id, bulk_action_id)
        if is_reached(bulk_action) or bulk_action.state is BulkActionState.FAILED:
            return bulk_action
        assert time.monotonic() < deadline, f"It stays {bulk_action.state.value} in phase {bulk_action.phase.value}."
        if time.monotonic() - swept_at > SWEEP_SECONDS and not waiting_count("default"):
            sweep.send()
            swept_at = time.monotonic()
        time.sleep(0.005)
