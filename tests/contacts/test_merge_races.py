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
from webapp.contacts import merge
from webapp.contacts.staging import BUCKET_COUNT


def half_of(key: str) -> int:
    """Which of two partitions a key belongs to."""
    return crc32(key.encode()) % BUCKET_COUNT // (BUCKET_COUNT // 2)


NEIGHBOUR = next(key for key in (f"k{n}@x.org" for n in range(99)) if half_of(key) == half_of("e@x.org"))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_import_overtaken_between_comparing_and_writing_starts_again(
    app: APIFlask, organisation_id: UUID, services: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another one creates a contact after this one's comparison found it missing, around its updates."""
    first = start(app, organisation_id, csv_of([["e@x.org", "First"]]))
    work_off(app)
    late = start(app, organisation_id, csv_of([["e@x.org", "Late"], [NEIGHBOUR, "Late"]]))
    overtaken = threading.Event()
    update = merge._update

    def update_with_somebody_else(values: dict[str, object]) -> int:
        if moment == "after":
            result = update(values)
        if not overtaken.is_set():
            overtaken.set()
            with psycopg.connect(services.database_url) as connection:
                connection.execute(ADD, [organisation_id, NEIGHBOUR, NEIGHBOUR])
        return result if moment == "after" else update(values)

    monkeypatch.setattr(merge, "_update", update_with_somebody_else)
    work_off(app)
    assert counts_of(read(app, organisation_id, first)) == {"row": 1, "created": 1}
    assert counts_of(read(app, organisation_id, late)) == {"row": 2, "updated": 2}
    assert sorted(contact[:2] for contact in contacts(services, organisation_id)) == [
        ("e@x.org", "Late"),
        (NEIGHBOUR, "Late"),
    ]


ADD = """
    INSERT INTO contacts (organisation_id, id, email_key, email, first_name, created_at, updated_at)
    VALUES (%s, gen_random_uuid(), %s, %s, 'Other', now(), now())
"""
