"""Chunks that go wrong every time, and errors that are not their fault: the rest goes in, and the counts add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from obstore.exceptions import GenericError

from tests.bulk_actions.support import (
    age_everything,
    contacts,
    count_rows,
    counts_of,
    people,
    read,
    rejections,
    start,
    sweep,
    work_off,
)
from tests.conftest import owner_connection
from webapp.bulk_actions import giving_up, rejecting, tasks, work
from webapp.bulk_actions.chunks import MAX_ATTEMPTS
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.queries import each_rejected_row
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.jobs.models import JobState
from webapp.jobs.queries import get_job
from webapp.lib.outage import disk_is_full

LAMP = "The lamp fell over."


class FallenLampError(Exception):
    """What goes wrong in these tests."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 500)


def test_rows_that_can_never_be_staged_are_rejected_with_their_cells_and_the_rest_goes_in(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_when(monkeypatch, work, "parse", lambda data, *_: b"p30@" in data)
    bulk_action = import_stubbornly(app, services, organisation_id, people(100))
    assert bulk_action.state is BulkActionState.COMPLETED_WITH_PROBLEMS
    assert (bulk_action.error, bulk_action.given_up_chunk_count) == (None, 1)
    left_out = rejections(app, organisation_id, bulk_action.id)
    assert 32 in left_out
    assert 1 < len(left_out) < 100
    assert counts_of(bulk_action) == {"row": 100, "created": 100 - len(left_out), "rejected": len(left_out)}
    rows = f"Rows {min(left_out)} to {max(left_out)}"
    assert set(left_out.values()) == {
        f"{rows} together stopped the worker 3 times, so they were left out. Look whether something in it is unusual,"
        f" and drop it again. The last error: FallenLampError: {LAMP}"
    }
    assert all(
        cells == [f"p{number - 2}@example.com", *["Ada"], *[""] * 6] for number, cells in rejected(app, bulk_action)
    )
    kept = {row[0] for row in contacts(services, organisation_id)}
    assert kept == {f"p{number}@example.com" for number in range(100) if number + 2 not in left_out}
    assert_all_is_clean(app, services, bulk_action)


def test_blank_rows_of_a_chunk_that_is_given_up_stay_blank(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_when(monkeypatch, work, "parse", lambda *_: True)
    bulk_action = import_stubbornly(
        app, services, organisation_id, b"Email,City\na@example.com,x\n\n,\nb@example.com,y\n"
    )
    assert counts_of(bulk_action) == {"row": 4, "rejected": 2, "blank": 2}
    assert list(rejections(app, organisation_id, bulk_action.id)) == [2, 5]


def test_rows_that_cannot_even_be_read_are_one_entry_of_the_report_and_all_counted(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_when(monkeypatch, work, "parse", lambda data, *_: b"p30@" in data)
    fail_when(monkeypatch, giving_up, "rows_of", lambda *_: True)
    bulk_action = import_stubbornly(app, services, organisation_id, people(100))
    assert bulk_action.state is BulkActionState.COMPLETED_WITH_PROBLEMS
    ((number, reason),) = rejections(app, organisation_id, bulk_action.id).items()
    end = number + bulk_action.rejected_count - 1
    assert reason.startswith(f"Rows {number} to {end} could not even be read, and were left out.")
    assert number <= 32 <= end
    assert bulk_action.created_count == 100 - bulk_action.rejected_count
    assert_all_is_clean(app, services, bulk_action)


@pytest.mark.parametrize("can_be_read", [True, False])
def test_rows_that_can_never_be_written_are_rejected_and_the_rest_goes_in(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch, can_be_read: bool
) -> None:
    fail_when(monkeypatch, work, "finish_merge", lambda chunk, _: chunk.index == 1)
    if not can_be_read:
        fail_when(monkeypatch, rejecting, "rows_of", lambda *_: True)
    content = people(100)
    bulk_action = import_stubbornly(app, services, organisation_id, content)
    assert (bulk_action.state, bulk_action.given_up_chunk_count) == (BulkActionState.COMPLETED_WITH_PROBLEMS, 1)
    left_out = rejections(app, organisation_id, bulk_action.id)
    assert 10 < len(left_out) < 90
    assert counts_of(bulk_action) == {"row": 100, "created": 100 - len(left_out), "rejected": len(left_out)}
    assert {reason.split(", so")[0] for reason in left_out.values()} == {
        f"Writing this row together with {len(left_out) - 1} others stopped the worker 3 times"
    }
    for number, cells in rejected(app, bulk_action):
        assert cells == ([f"p{number - 2}@example.com", "Ada", *[""] * 6] if can_be_read else [])
    kept = {row[0] for row in contacts(services, organisation_id)}
    assert kept == {f"p{number}@example.com" for number in range(100) if number + 2 not in left_out}
    assert_all_is_clean(app, services, bulk_action)


def test_the_job_of_an_import_with_problems_is_completed_and_says_so(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_when(monkeypatch, work, "parse", lambda data, *_: b"p30@" in data)
    bulk_action = import_stubbornly(app, services, organisation_id, people(100))
    with app.app_context(), tenant(organisation_id):
        job = get_job(organisation_id, bulk_action.job_id or UUID(int=0))
        assert job is not None
        assert (job.state, job.progress_count, job.total_count) == (JobState.COMPLETED, 100, 100)
        assert job.result is not None
        assert (job.result["given_up_chunks"], job.result["rejected"]) == (1, bulk_action.rejected_count)


def test_a_file_that_can_never_be_planned_fails_its_import_with_the_reason(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_when(monkeypatch, work, "find_spans", lambda *_: True)
    bulk_action = import_stubbornly(app, services, organisation_id, people(100))
    assert bulk_action.state is BulkActionState.FAILED
    assert bulk_action.error == (
        f"Working on it stopped the worker 3 times, so it was given up. The last error: FallenLampError: {LAMP}"
    )
    assert contacts(services, organisation_id) == []


def test_a_chunk_that_kills_its_worker_is_given_up_as_well(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    """Nobody is left to note an error: only the attempts tell."""
    bulk_action_id = start(app, organisation_id, people(100))
    work_off(app, limit=1)
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_action_chunks SET attempt_count = %s WHERE index = 1", [MAX_ATTEMPTS])
    work_off(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert bulk_action.state is BulkActionState.COMPLETED_WITH_PROBLEMS
    assert bulk_action.created_count + bulk_action.rejected_count == 100
    assert {reason.split(", so")[1] for reason in rejections(app, organisation_id, bulk_action_id).values()} == {
        " they were left out. Look whether something in it is unusual, and drop it again."
    }


# What is not the chunk's fault -------------------------------------------------------------------


def test_an_upload_store_on_a_full_disk_makes_the_import_wait_and_spends_no_attempt(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself says that there is no room, as it does for every byte written to /dev/full."""
    disk = Path("/dev/full")
    parse: Callable[..., Any] = vars(work)["parse"]

    def parse_beside_full_disk(*arguments: Any, **more: Any) -> Any:
        disk.write_bytes(b"x")
        return parse(*arguments, **more)

    monkeypatch.setattr(work, "parse", parse_beside_full_disk)
    bulk_action = import_on_full_disk(app, services, organisation_id)
    disk = Path("/dev/null")
    assert_it_goes_on(app, services, bulk_action)


def test_a_postgresql_server_on_a_full_disk_makes_the_import_wait_and_spends_no_attempt(
    app: APIFlask, services: Settings, organisation_id: UUID, full_contacts: Callable[[], None]
) -> None:
    bulk_action = import_on_full_disk(app, services, organisation_id)
    full_contacts()
    assert_it_goes_on(app, services, bulk_action)


@pytest.fixture
def full_contacts(services: Settings) -> Iterator[Callable[[], None]]:
    """The server refuses new contacts with the very error of a full disk, until the returned function is called."""
    with owner_connection(services) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';"
            " END $$"
        )
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON contacts EXECUTE FUNCTION refuse()")

    def free_space() -> None:
        with owner_connection(services) as connection:
            connection.execute("DROP FUNCTION IF EXISTS refuse CASCADE")

    yield free_space
    free_space()


def test_the_stores_own_error_of_a_full_disk_is_known() -> None:
    text = "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"
    assert disk_is_full(GenericError(text))
    assert not disk_is_full(GenericError("Generic LocalFileSystem error: Permission denied (os error 13)"))


@pytest.mark.parametrize("function", ["parse", "note_rejected", "finish_stage", "finish_merge"])
def test_a_database_that_goes_away_in_the_middle_spends_no_attempt(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    original: Callable[..., object] = getattr(work, function)
    ends = iter([True] * (MAX_ATTEMPTS + 1))

    def lose_connections(*arguments: Any, **more: Any) -> object:
        result = original(*arguments, **more)
        if next(ends, False):
            with owner_connection(services) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
        return result

    monkeypatch.setattr(work, function, lose_connections)
    bulk_action_id = start(app, organisation_id, people(100))
    for _ in range(MAX_ATTEMPTS + 1):
        work_off(app)
        sweep(app)
    work_off(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert next(ends, None) is None
    assert bulk_action.state is BulkActionState.COMPLETED
    assert counts_of(bulk_action) == {"row": 100, "created": 100}


def import_on_full_disk(app: APIFlask, settings: Settings, organisation_id: UUID) -> BulkAction:
    """An import that found the disk full more often than it has attempts."""
    bulk_action_id = start(app, organisation_id, people(100))
    for _ in range(MAX_ATTEMPTS + 2):
        work_off(app)
        make_due(settings)
        sweep(app)
    work_off(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert (bulk_action.state, bulk_action.wait_reason) == (BulkActionState.RUNNING, tasks.FULL_DISK_REASON)
    assert bulk_action.run_at is not None
    return bulk_action


def assert_it_goes_on(app: APIFlask, settings: Settings, waiting: BulkAction) -> None:
    sweep(app)
    assert work_off(app) == 0
    make_due(settings)
    sweep(app)
    work_off(app)
    bulk_action = read(app, waiting.organisation_id, waiting.id)
    assert (bulk_action.state, bulk_action.wait_reason) == (BulkActionState.COMPLETED, None)
    assert counts_of(bulk_action) == {"row": 100, "created": 100}


def make_due(settings: Settings) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE bulk_actions SET run_at = now() - interval '1 second' WHERE run_at IS NOT NULL")


def fail_when(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, is_bad: Callable[..., bool]) -> None:
    """Let a function fail whenever its arguments are these."""
    original: Callable[..., object] = getattr(module, name)

    def fail(*arguments: Any, **more: Any) -> object:
        if is_bad(*arguments):
            raise FallenLampError(LAMP)
        return original(*arguments, **more)

    monkeypatch.setattr(module, name, fail)


def import_stubbornly(app: APIFlask, settings: Settings, organisation_id: UUID, content: bytes) -> BulkAction:
    """Import a file, again and again where it goes wrong."""
    bulk_action_id = start(app, organisation_id, content)
    for _ in range(50):
        try:
            work_off(app)
        except FallenLampError:
            continue
        bulk_action = read(app, organisation_id, bulk_action_id)
        if bulk_action.state.is_final:
            return bulk_action
        age_everything(settings)
        sweep(app)
    raise AssertionError("It never ends.")


def rejected(app: APIFlask, bulk_action: BulkAction) -> list[tuple[int, list[Any]]]:
    with app.app_context(), tenant(bulk_action.organisation_id):
        rows = each_rejected_row(bulk_action.organisation_id, bulk_action.id)
        return [(row.row_number, row.cells) for row in rows]


def assert_all_is_clean(app: APIFlask, settings: Settings, bulk_action: BulkAction) -> None:
    work_off(app)
    assert read(app, bulk_action.organisation_id, bulk_action.id).cleaned_at is not None
    assert count_rows(settings, "staged_contacts") == 0
    assert count_rows(settings, "bulk_action_turns") == 0
