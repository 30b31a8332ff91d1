"""Workbooks and files of wide characters are looked at as a whole, in a copy that is made once."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import contacts, read, upload, uploads, work_off
from tests.bulk_actions.workbooks import rewritten, workbook_of
from tests.conftest import Person
from webapp.bulk_actions import copies
from webapp.bulk_actions.models import BulkActionState
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.storage import Storage

LAST = 700
ROWS = [["Email", "First name"], *([f"p{number}@example.com", f"P{number}"] for number in range(2, LAST)), ["nobody"]]
WORKBOOK = workbook_of({"People": ROWS, "Others": [["Email"], ["zoe@example.com"]]})
WIDE = "\r\n".join(",".join(row) for row in ROWS).encode("utf-16")


def stored(storage: Storage, part: str) -> list[str]:
    return [key for page in storage.key_pages(datetime.max.replace(tzinfo=UTC)) for key in page if part in key]


@pytest.mark.parametrize("content", [WORKBOOK, WIDE], ids=["workbook", "utf-16"])
def test_the_first_rows_are_shown_at_once_and_all_of_them_when_the_copy_is_made(
    app: APIFlask, alice: Person, content: bytes
) -> None:
    path = f"/bulk-actions/{upload(app, alice.organisation_id, content)}"
    first = alice.client.get(f"{path}/mapping").text
    assert "P2<" in first
    assert f"{path}/preview/wait" in first
    assert "preview/wait" in alice.client.get(f"{path}/preview/wait?problems=1").text
    work_off(app)
    assert f'hx-get="{path}/preview?problems=1"' in alice.client.get(f"{path}/preview/wait?problems=1").text
    assert f"P{LAST - 1}<" in alice.client.get(f"{path}/preview?row={LAST - 5}").text
    wrong = alice.client.get(f"{path}/preview?problems=1").text
    assert "nobody" in wrong
    assert "Searched the whole file" in wrong
    assert "preview/wait" not in wrong


def test_the_import_reads_the_copy_that_the_preview_had_made(
    app: APIFlask, services: Settings, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_action_id = upload(app, alice.organisation_id, WORKBOOK)
    alice.client.get(f"/bulk-actions/{bulk_action_id}/mapping")
    work_off(app)
    monkeypatch.setattr(copies, "convert", lambda storage, bulk_action: pytest.fail("It was made before."))
    alice.client.post(f"/bulk-actions/{bulk_action_id}/start")
    work_off(app)
    assert len(contacts(services, alice.organisation_id)) == LAST - 2
    assert stored(uploads(app), str(bulk_action_id)) == []


def test_each_sheet_has_a_copy_of_its_own_and_a_try_shares_it(app: APIFlask, services: Settings, alice: Person) -> None:
    bulk_action_id = upload(app, alice.organisation_id, WORKBOOK)
    path = f"/bulk-actions/{bulk_action_id}"
    alice.client.get(f"{path}/mapping")
    work_off(app)
    alice.client.post(f"{path}/mapping", data={"sheet": "Others"})
    assert "zoe@example.com" in alice.client.get(f"{path}/mapping").text
    work_off(app)
    assert len(stored(uploads(app), f"{bulk_action_id}.csv.copies/")) == 1  # of the sheet before there is none any more
    tried = alice.client.post(f"{path}/start", data={"then": "try"}).headers["Location"].rsplit("/", 1)[1]
    work_off(app)
    assert read(app, alice.organisation_id, UUID(tried)).created_count == 1
    assert len(stored(uploads(app), f"{bulk_action_id}.csv.copies/")) == 1
    alice.client.post(f"{path}/start")
    work_off(app)
    assert [row[0] for row in contacts(services, alice.organisation_id)] == ["zoe@example.com"]
    assert stored(uploads(app), str(bulk_action_id)) == []


def test_a_workbook_that_breaks_off_says_so_in_its_preview(app: APIFlask, alice: Person) -> None:
    rows = [ROWS[0], *([f"p{n}@example.com", "x" * 500] for n in range(3_000))]
    content = workbook_of({"A": rows}, constant_memory=True, in_memory=False)
    broken = rewritten(content, lambda name, part: part[:-400_000] if "sheet1" in name else part)
    path = f"/bulk-actions/{upload(app, alice.organisation_id, broken)}"
    alice.client.get(f"{path}/mapping")
    work_off(app)
    waited = alice.client.get(f"{path}/preview/wait").text
    assert "no rows can be read from it" in waited
    assert "hx-get" not in waited
    assert "no rows can be read from it" in alice.client.get(f"{path}/preview").text


def test_two_messages_make_one_copy(app: APIFlask, alice: Person, services: Settings) -> None:
    """While one makes it, another goes away; an import waits for it."""
    draft_id = upload(app, alice.organisation_id, WORKBOOK)
    with app.app_context(), tenant(alice.organisation_id):
        draft = read(app, alice.organisation_id, draft_id)
        holder = db.engine.connect()
        try:
            holder.execute(copies.LOCK, {"key": copies.copy_key(draft)})
            copies.prepare_copy(draft, uploads(app))
            assert not copies.has_copy(draft, uploads(app))
        finally:
            holder.close()
        copies.prepare_copy(draft, uploads(app))
        assert copies.has_copy(draft, uploads(app))
        db.session.rollback()


def test_a_draft_that_was_started_needs_no_copy_for_its_preview(app: APIFlask, alice: Person) -> None:
    draft_id = upload(app, alice.organisation_id, WORKBOOK)
    alice.client.get(f"/bulk-actions/{draft_id}/mapping")
    alice.client.post(f"/bulk-actions/{draft_id}/start")
    work_off(app)
    assert read(app, alice.organisation_id, draft_id).state is BulkActionState.COMPLETED
    assert stored(uploads(app), str(draft_id)) == []


def test_whoever_waits_asks_again_when_nobody_is_at_it(
    app: APIFlask, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/bulk-actions/{upload(app, alice.organisation_id, WORKBOOK)}"
    alice.client.get(f"{path}/mapping")

    def fail(storage: Storage, bulk_action: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(copies, "convert", fail)
        with pytest.raises(OSError, match="No space"):
            work_off(app)
    for _ in range(2):  # of which the second finds that a message waits
        assert "preview/wait" in alice.client.get(f"{path}/preview/wait").text
    assert work_off(app) == 1
    assert 'hx-trigger="load"' in alice.client.get(f"{path}/preview/wait").text


def test_only_one_copy_of_an_organisation_is_made_at_a_time(app: APIFlask, alice: Person, bob: Person) -> None:
    drafts = [upload(app, alice.organisation_id, WORKBOOK) for _ in range(2)]
    with app.app_context(), tenant(alice.organisation_id):
        first, second = (read(app, alice.organisation_id, draft) for draft in drafts)
        with db.engine.connect() as holder:
            holder.execute(copies.LOCK, {"key": f"copies of {first.organisation_id}"})
            copies.prepare_copy(second, uploads(app))
        assert not copies.has_copy(second, uploads(app))
        db.session.rollback()


def test_a_tab_that_waits_for_a_started_import_goes_to_its_page(app: APIFlask, alice: Person) -> None:
    path = f"/bulk-actions/{upload(app, alice.organisation_id, WORKBOOK)}"
    alice.client.post(f"{path}/start")
    assert alice.client.get(f"{path}/preview/wait").headers["HX-Redirect"] == path


def test_nobody_else_learns_of_the_copy(app: APIFlask, alice: Person, charlie: Person) -> None:
    draft_id = upload(app, alice.organisation_id, WORKBOOK)
    assert charlie.client.get(f"/bulk-actions/{draft_id}/preview/wait").status_code == 404
