"""Files that no import will ever read are removed, and no other."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import count_rows, csv_of, start, upload, uploads
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import upload_tasks
from webapp.bulk_actions.files import file_key, owner_of
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7

CONTENT = csv_of([["ada@example.com", "Ada"]])


def files_in(settings: Settings) -> list[Path]:
    return [path for path in (settings.data_dir / "uploads").rglob("*") if path.is_file()]


def sweep_after(app: APIFlask, settings: Settings, age: timedelta) -> set[str]:
    """As if everything had been stored so long ago; the keys that are left."""
    with owner_connection(settings) as connection:
        connection.execute("UPDATE bulk_actions SET created_at = %s", [utc_now() - age])
    for path in files_in(settings):
        then = time.time() - age.total_seconds()
        os.utime(path, (then, then))
    with app.app_context():
        upload_tasks.sweep_uploads()
    return {path.relative_to(settings.data_dir / "uploads").as_posix() for path in files_in(settings)}


def test_a_draft_is_kept_for_a_week(app: APIFlask, services: Settings, organisation_id: UUID, charlie: Person) -> None:
    keys = {file_key(one, upload(app, one, CONTENT)) for one in (organisation_id, charlie.organisation_id)}
    assert sweep_after(app, services, timedelta(days=6, hours=23)) == keys
    assert count_rows(services, "bulk_actions") == 2
    assert sweep_after(app, services, timedelta(days=7, hours=1)) == set()
    assert count_rows(services, "bulk_actions") == 0


def test_an_import_that_was_started_keeps_its_file_however_long_it_waits(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    key = file_key(organisation_id, start(app, organisation_id, CONTENT))
    assert sweep_after(app, services, timedelta(days=30)) == {key}


def test_a_file_without_a_row_is_removed_after_a_day(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    key = file_key(organisation_id, uuid7())
    for stored in (key, f"{key}.copies/0123456789abcdef", file_key(uuid7(), uuid7())):
        uploads(app).write(stored, [CONTENT])
    assert len(sweep_after(app, services, timedelta(hours=23))) == 3
    assert sweep_after(app, services, timedelta(hours=25)) == set()


def test_what_a_late_worker_wrote_for_an_import_that_is_over_is_removed(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    start(app, organisation_id, CONTENT)
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET state = 'completed', cleaned_at = now()")
    assert sweep_after(app, services, timedelta(hours=25)) == set()


def test_an_upload_whose_server_was_killed_leaves_nothing_for_longer_than_a_day(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    half = services.data_dir / "uploads" / f"{file_key(organisation_id, uuid7())}#1"
    uploads(app)
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half of it")
    assert len(sweep_after(app, services, timedelta(hours=23))) == 1
    assert sweep_after(app, services, timedelta(hours=25)) == set()


def test_files_that_are_no_uploads_of_imports_are_left_alone(app: APIFlask, services: Settings) -> None:
    others = {"elsewhere/a.csv", f"{uuid7()}/exports/{uuid7()}.csv", "plan#b.csv"}
    for key in others:
        uploads(app).write(key, [CONTENT])
    assert sweep_after(app, services, timedelta(days=100)) == others
    assert owner_of("elsewhere/a.csv") is None


def test_one_run_removes_only_so_many(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_tasks, "FILE_LIMIT", 2)
    monkeypatch.setattr("webapp.lib.storage.KEYS_PER_PAGE", 2)
    for _ in range(5):
        uploads(app).write(file_key(organisation_id, uuid7()), [CONTENT])
    assert len(sweep_after(app, services, timedelta(days=2))) == 3
    assert len(sweep_after(app, services, timedelta(days=2))) == 1
