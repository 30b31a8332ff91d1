"""Whole imports, from the file's bytes to the contacts, with exact counts."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import contacts, count_rows, counts_of, csv_of, import_file, rejections
from webapp.bulk_actions.models import BulkActionState
from webapp.config import Settings


def test_every_row_of_a_new_file_becomes_a_contact(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    content = csv_of([[f"person{n}@example.com", f"First{n}", f"Last{n}"] for n in range(5_000)])
    bulk_action = import_file(app, organisation_id, content)
    assert bulk_action.error is None
    assert bulk_action.state is BulkActionState.COMPLETED
    assert counts_of(bulk_action) == {"row": 5_000, "created": 5_000}
    assert len(contacts(services, organisation_id)) == 5_000
    assert count_rows(services, "staged_contacts") == 0
