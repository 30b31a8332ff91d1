"""Two transactions over the same contacts: whoever comes second sees what the first did, or starts again."""

from __future__ import annotations

import threading
from uuid import UUID
from zlib import crc32

import psycopg
import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import contacts, counts_of, csv_of, read, start, work_off
from webapp.config import Settings
from webapp.records import merge
from webapp.records.staging import BUCKET_COUNT


def half_of(key: str) -> int:
    """Which of two partitions a key belongs to."""
    return crc32(key.encode()) % BUCKET_COUNT // (BUCKET_COUNT // 2)


NEIGHBOUR = next(key for key in (f"k{n}@x.org" for n in range(99)) if half_of(key) == half_of("e@x.org"))


def test_an_import_overtaken_between_comparing_and_writing_starts_again(
    app: APIFlask, organisation_id: UUID, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes a contact after this import's comparison found it there."""
    first = start(app, organisation_id, csv_of([["e@x.org", "First"]]))
    work_off(app)
    late = start(app, organisation_id, csv_of([["e@x.org", "Late"], [NEIGHBOUR, "Late"]]))
    overtaken = threading.Event()
    update = merge._update

    def update_after_somebody_else(work: merge.Work, is_dry_run: bool) -> tuple[int, tuple[int, ...]]:
        if not overtaken.is_set():
            overtaken.set()
            with psycopg.connect(services.database_url) as connection:
                connection.execute("DELETE FROM contacts WHERE email_key = 'e@x.org'")
        return update(work, is_dry_run)

    monkeypatch.setattr(merge, "_update", update_after_somebody_else)
    work_off(app)
    assert counts_of(read(app, organisation_id, first)) == {"row": 1, "created": 1}
    assert counts_of(read(app, organisation_id, late)) == {"row": 2, "created": 2}
    assert sorted(contact[:2] for contact in contacts(services, organisation_id)) == [
        ("e@x.org", "Late"),
        (NEIGHBOUR, "Late"),
    ]
