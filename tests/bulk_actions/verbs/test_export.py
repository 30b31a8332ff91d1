"""What an exported file holds is what a reader of CSV reads, cell for cell."""

from __future__ import annotations

import csv
import io
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.verbs.test_verbs import ALL, Do, do, exported, people, small_chunks
from tests.conftest import owner_connection
from webapp.bulk_actions.models import BulkAction, Verb
from webapp.bulk_actions.verbs import export, plan
from webapp.config import Settings

__all__ = ["do", "people", "small_chunks"]
CELLS = ['say "hi"', "one, two", "first\nsecond", "first\r\nsecond", "a\rb", '"', ",", " spaced ", "", "\\.", "Łódź 🛒"]


def test_every_cell_is_read_back_as_it_is(
    people: BulkAction, do: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    with owner_connection(services) as connection:
        for number, cell in enumerate(CELLS):
            statement = "UPDATE contacts SET notes = %s, attributes = attributes || %s::jsonb WHERE email_key = %s"
            connection.execute(statement, [cell, '{"50%s {0}": "x,y"}', f"p{number:02}@example.com"])
    done = do(Verb.EXPORT, ALL, {"columns": ["email", "notes", "attributes.50%s {0}", "phone"]})
    content = exported(app, organisation_id, done).decode("utf-8-sig")
    rows = {row[0]: row[1:] for row in list(csv.reader(io.StringIO(content, newline="")))[1:]}
    expected = {f"p{number:02}@example.com": [cell, "x,y", ""] for number, cell in enumerate(CELLS)}
    assert rows == {f"p{n:02}@example.com": ["", "", ""] for n in range(len(CELLS), 20)} | expected


def test_lines_are_in_the_order_of_their_creation_however_they_are_handed_over(
    people: BulkAction,
    do: Do,
    app: APIFlask,
    organisation_id: UUID,
    services: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "LINES_PER_BLOCK", 3)
    monkeypatch.setattr(plan, "RECORDS_PER_CHUNK", 12)
    done = do(Verb.EXPORT, ALL, {"columns": ["email"]})
    with owner_connection(services) as connection:
        emails = [row[0] for row in connection.execute("SELECT email FROM contacts ORDER BY id")]
    assert exported(app, organisation_id, done).decode("utf-8-sig").splitlines() == ["E-mail", *emails]
