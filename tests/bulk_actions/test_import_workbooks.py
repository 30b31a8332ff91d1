"""Workbooks dropped on the page go in as CSV files do."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apiflask import APIFlask

from tests.bulk_actions.support import (
    contacts,
    counts_of,
    import_file,
    read,
    rejections,
    start,
    upload,
    uploads,
    work_off,
)
from tests.bulk_actions.workbooks import rewritten, workbook_of
from tests.conftest import Person
from webapp.bulk_actions.models import BulkActionState
from webapp.bulk_actions.preview import preview_rows
from webapp.bulk_actions.queries import get_bulk_action
from webapp.config import Settings
from webapp.extensions import tenant

TABLE = [["Email", "First name", "City"], ["a@example.com", "Ada", "London"], ["b@example.com", "Bea", "Rome"]]


def keys(app: APIFlask) -> list[str]:
    return [key for page in uploads(app).key_pages(datetime.max.replace(tzinfo=UTC)) for key in page]


def test_a_workbook_goes_in_and_leaves_nothing_in_the_store(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action = import_file(app, organisation_id, workbook_of({"Notes": [], "People": TABLE}))
    assert counts_of(bulk_action) == {"row": 2, "created": 2}
    assert [row[:2] for row in contacts(services, organisation_id)] == [
        ("a@example.com", "Ada"),
        ("b@example.com", "Bea"),
    ]
    assert not [key for key in keys(app) if str(bulk_action.id) in key]


def test_a_rejected_row_has_the_number_that_the_spreadsheet_shows(app: APIFlask, organisation_id: UUID) -> None:
    rows = [[], [], TABLE[0], TABLE[1], [], ["nonsense", "Cleo"], ["=#N/A", "Dora"], TABLE[2]]
    bulk_action = import_file(app, organisation_id, workbook_of({"People": rows}))
    assert counts_of(bulk_action) == {"row": 5, "created": 2, "rejected": 2, "blank": 1}
    reasons = rejections(app, organisation_id, bulk_action.id)
    assert sorted(reasons) == [6, 7]
    assert "#N/A" in reasons[7]


def test_the_preview_counts_rows_as_the_report_does(app: APIFlask, organisation_id: UUID) -> None:
    rows: list[list[Any]] = [[], [None, None], TABLE[0], TABLE[1], [], ["nonsense", "Cleo", None]]
    text = "\n,,\n" + "\n".join(",".join(cell or "" for cell in row) for row in rows[2:])
    for content in (workbook_of({"People": rows}), text.encode(), text.encode("utf-16")):
        bulk_action_id = upload(app, organisation_id, content)
        with app.app_context(), tenant(organisation_id):
            draft = get_bulk_action(organisation_id, bulk_action_id)
            assert draft is not None
            every = preview_rows(draft, uploads(app))
            wrong = preview_rows(draft, uploads(app), only_problems=True)
        assert [row.number for row in every.rows] == [4, 6]
        assert [row.number for row in wrong.rows] == [6]


def test_blank_lines_before_a_csv_count_as_rows_and_are_none(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    content = "\r\n,,\r\nEmail,First name,City\r\na@example.com,Zoë,Köln\r\nnonsense,Bea,Rome\r\n"
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        bulk_action = import_file(app, organisation_id, content.encode(encoding))
        assert counts_of(bulk_action)["row"] == 2
        assert list(rejections(app, organisation_id, bulk_action.id)) == [5]
    assert [row[1] for row in contacts(services, organisation_id)] == ["Zoë"]


def test_the_sheet_is_chosen_on_the_page(app: APIFlask, services: Settings, alice: Person) -> None:
    content = workbook_of({"First": TABLE, "Second": [TABLE[0], ["c@example.com", "Cleo", "Oslo"]]})
    bulk_action_id = upload(app, alice.organisation_id, content, "people.xlsx")
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}/mapping").text
    assert 'name="sheet"' in page
    assert 'name="encoding"' not in page
    assert page.index("First") < page.index("Second")
    response = alice.client.post(f"/bulk-actions/{bulk_action_id}/mapping", data={"sheet": "Third"})
    assert response.status_code == 422
    assert "There is no sheet called “Third”" in response.text
    alice.client.post(f"/bulk-actions/{bulk_action_id}/mapping", data={"sheet": "Second"})
    assert "Cleo" in alice.client.get(f"/bulk-actions/{bulk_action_id}/mapping").text
    alice.client.post(f"/bulk-actions/{bulk_action_id}/start")
    work_off(app)
    assert [row[0] for row in contacts(services, alice.organisation_id)] == ["c@example.com"]


def test_an_encoding_may_be_latin_1_by_choice(app: APIFlask, services: Settings, alice: Person) -> None:
    content = "Email,First name\na@example.com,Zoë\n".encode("latin-1")
    bulk_action_id = upload(app, alice.organisation_id, content)
    assert "ISO-8859-1, Latin-1" in alice.client.get(f"/bulk-actions/{bulk_action_id}/mapping").text
    alice.client.post(f"/bulk-actions/{bulk_action_id}/mapping", data={"encoding": "latin-1"})
    assert read(app, alice.organisation_id, bulk_action_id).format["encoding"] == "latin-1"
    alice.client.post(f"/bulk-actions/{bulk_action_id}/start")
    work_off(app)
    assert [row[1] for row in contacts(services, alice.organisation_id)] == ["Zoë"]


def test_a_workbook_that_breaks_off_fails_its_import_and_nothing_goes_in(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    rows = [TABLE[0], *([f"p{n}@example.com", "x" * 200, "y" * 200] for n in range(3_000))]
    content = workbook_of({"A": rows}, constant_memory=True, in_memory=False)
    broken = rewritten(content, lambda name, part: part[:-400_000] if "sheet1" in name else part)
    bulk_action_id = start(app, organisation_id, broken)
    work_off(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert bulk_action.state is BulkActionState.FAILED
    assert "no rows can be read from it" in (bulk_action.error or "")
    assert contacts(services, organisation_id) == []


def test_the_page_says_why_a_workbook_cannot_be_read(alice: Person) -> None:
    locked = b"\xd0\xcf\x11\xe0" + bytes(999) + "EncryptedPackage".encode("utf-16-le")
    form = {"file": (io.BytesIO(locked), "people.xlsx")}
    response = alice.client.post("/bulk-actions", data=form, content_type="multipart/form-data")
    assert response.status_code == 422
    assert "protected by a password" in response.text
