"""The import's pages: drop a file, match its columns, start, watch, and fetch what was left out."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask
from werkzeug.http import parse_options_header
from werkzeug.test import TestResponse

from tests.bulk_actions.support import count_rows, csv_of, read, start, upload, work_off
from tests.conftest import Person, owner_connection
from webapp.bulk_actions.models import BulkActionState
from webapp.config import Settings

HTMX = {"HX-Request": "true"}
PEOPLE = csv_of([["ada@example.com", "Ada", "Lovelace"], ["grace@example.com", "Grace", "Hopper"]])
MAPPING = re.compile(r"/bulk-actions/([0-9a-f-]{36})/mapping$")


def drop(person: Person, content: bytes = PEOPLE, name: str = "people.csv", **headers: str) -> TestResponse:
    form = {"entity": "contacts", "file": (io.BytesIO(content), name)}
    return person.client.post("/bulk-actions", data=form, content_type="multipart/form-data", headers=headers)


def dropped(person: Person, content: bytes = PEOPLE) -> UUID:
    """The id of a draft that came through the page."""
    answer = drop(person, content)
    assert answer.status_code == 303, answer.text
    found = MAPPING.search(answer.location)
    assert found
    return UUID(found[1])


@pytest.fixture
def small_limit(app: APIFlask) -> Iterator[None]:
    settings: Settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, upload_limit_bytes=1024)
    yield
    app.extensions["settings"] = settings


def state_of(app: APIFlask, person: Person, bulk_action_id: UUID) -> BulkActionState:
    return read(app, person.organisation_id, bulk_action_id).state


def test_a_dropped_file_leads_to_its_columns(alice: Person) -> None:
    bulk_action_id = dropped(alice)
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}/mapping").text
    assert '<option value="email" selected>E-mail</option>' in page
    assert '<option value="utf-8" selected>UTF-8</option>' in page
    assert "ada@example.com" in page
    assert "3 of 8 matched" not in page  # all eight columns are known by their names
    assert "8 of 8 matched" in page


def test_the_uploader_is_remembered(app: APIFlask, alice: Person) -> None:
    assert read(app, alice.organisation_id, dropped(alice)).created_by == alice.user_id


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty"),
        (b"Email,Name\n", "a header and no rows"),
        (b"PK\x03\x04" + bytes(200), "no rows can be read from it"),
        (bytes(range(1, 9)) * 50, "bytes that are not text"),
    ],
)
def test_what_is_no_csv_is_refused_with_the_remedy_and_nothing_is_kept(
    services: Settings, alice: Person, content: bytes, words: str
) -> None:
    answer = drop(alice, content)
    assert answer.status_code == 422
    assert words in answer.text
    assert count_rows(services, "bulk_actions") == 0


def test_a_script_gets_the_reason_alone(alice: Person) -> None:
    answer = drop(alice, b"", **HTMX)
    assert answer.status_code == 422
    assert "<html" not in answer.text
    assert "The file is empty" in answer.text


@pytest.mark.usefixtures("small_limit")
def test_a_file_over_the_limit_is_refused_before_it_is_read(alice: Person) -> None:
    answer = drop(alice, b"Email\n" + b"a@example.com\n" * 20_000)
    assert answer.status_code == 413
    assert "larger than 1 KB" in answer.text
    assert "Split it" in answer.text


@pytest.mark.usefixtures("small_limit")
def test_a_file_just_over_the_limit_is_refused_and_not_kept(services: Settings, alice: Person) -> None:
    assert drop(alice, b"Email\n" + b"a@example.com\n" * 100).status_code == 413
    assert count_rows(services, "bulk_actions") == 0


def test_a_form_without_a_file_is_explained(alice: Person) -> None:
    answer = alice.client.post("/bulk-actions", data={"entity": "contacts"}, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert "No file arrived" in answer.text


def test_an_upload_from_another_site_is_refused(app: APIFlask, alice: Person) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        answer = drop(alice)
    finally:
        app.config["WTF_CSRF_ENABLED"] = False
    assert answer.status_code == 400
    assert "out of date" in answer.text


def test_an_upload_with_the_pages_own_token_is_taken(app: APIFlask, alice: Person) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        token = re.search(r'name="csrf_token" value="([^"]+)"', alice.client.get("/bulk-actions").text)
        assert token
        form = {"csrf_token": token[1], "file": (io.BytesIO(PEOPLE), "people.csv")}
        answer = alice.client.post("/bulk-actions", data=form, content_type="multipart/form-data")
    finally:
        app.config["WTF_CSRF_ENABLED"] = False
    assert answer.status_code == 303


def test_a_changed_column_is_kept_and_shown_again(alice: Person) -> None:
    path = f"/bulk-actions/{dropped(alice)}/mapping"
    assert alice.client.post(path, data={"column-1": ""}, headers=HTMX).status_code == 303
    page = alice.client.get(path, headers=HTMX).text
    assert "<html" not in page
    assert "7 of 8 matched" in page


def test_without_an_e_mail_column_it_cannot_start(app: APIFlask, alice: Person) -> None:
    bulk_action_id = dropped(alice)
    alice.client.post(f"/bulk-actions/{bulk_action_id}/mapping", data={"column-0": ""})
    page = alice.client.get(f"/bulk-actions/{bulk_action_id}/mapping").text
    assert "No column is matched to “E-mail”" in page
    assert re.search(r'value="start" disabled[^>]*>Start the import', page)
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/start", data={"column-0": ""})
    assert answer.status_code == 422
    assert state_of(app, alice, bulk_action_id) is BulkActionState.DRAFT


def test_one_field_for_two_columns_is_refused(alice: Person) -> None:
    bulk_action_id = dropped(alice)
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/start", data={"column-1": "last_name"})
    assert answer.status_code == 422
    assert "Two columns are matched to “Last name”" in answer.text


def test_another_delimiter_reads_the_columns_anew(alice: Person) -> None:
    content = b"Email,x;Name\nada@example.com,1;Ada\ngrace@example.com,2;Grace\n"
    path = f"/bulk-actions/{dropped(alice, content)}/mapping"
    assert 'value="," selected' in alice.client.get(path).text
    form = {"encoding": "utf-8", "delimiter": ";", "has_header": ["", "1"]}
    assert alice.client.post(path, data=form).status_code == 303
    page = alice.client.get(path).text
    assert 'value=";" selected' in page
    assert "of 2 matched" in page


@pytest.mark.parametrize(
    "form",
    [
        {"encoding": "rot13"},
        {"encoding": "idna"},
        {"encoding": ""},
        {"delimiter": "\x01"},
        {"delimiter": "x"},
        {"delimiter": " "},
        {"delimiter": "é"},
        {"delimiter": '"'},
        {"delimiter": ",;"},
        {"delimiter": ""},
    ],
)
@pytest.mark.parametrize("verb", ["mapping", "start"])
def test_an_encoding_or_a_delimiter_that_nobody_offers_is_refused(
    app: APIFlask, alice: Person, form: dict[str, str], verb: str
) -> None:
    bulk_action_id = dropped(alice)
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/{verb}", data=form, headers=HTMX)
    assert answer.status_code == 422
    assert "Choose one of the encodings and delimiters that are offered." in answer.text
    kept = read(app, alice.organisation_id, bulk_action_id)
    assert (kept.state, kept.format["encoding"], kept.format["delimiter"]) == (BulkActionState.DRAFT, "utf-8", ",")


def test_a_file_read_another_way_is_shown_again_before_it_starts(app: APIFlask, alice: Person) -> None:
    bulk_action_id = dropped(alice)
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/start", data={"has_header": ""})
    assert answer.location == f"/bulk-actions/{bulk_action_id}/mapping"
    assert state_of(app, alice, bulk_action_id) is BulkActionState.DRAFT
    assert "Look at its columns" in alice.client.get(answer.location).text


def test_an_import_goes_in_from_the_page(app: APIFlask, alice: Person) -> None:
    bulk_action_id = dropped(alice)
    answer = alice.client.post(f"/bulk-actions/{bulk_action_id}/start", data={})
    assert (answer.status_code, answer.location) == (303, f"/bulk-actions/{bulk_action_id}")
    waiting = alice.client.get(answer.location).text
    assert "hx-sse:connect=" in waiting
    assert "Cancel this?" in waiting
    work_off(app)
    done = alice.client.get(answer.location).text
    assert "Everything went in" in done
    assert "2 created." in done
    assert "hx-sse:connect=" not in done
    assert "ada@example.com" in alice.client.get("/contacts").text


def test_a_started_import_has_no_mapping_page_any_more(app: APIFlask, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, PEOPLE)
    show = f"/bulk-actions/{bulk_action_id}"
    assert alice.client.get(f"{show}/mapping").location == show
    assert alice.client.post(f"{show}/mapping", data={"column-0": ""}).location == show
    assert alice.client.post(f"{show}/start").location == show


def test_a_draft_has_no_progress_page_yet(alice: Person) -> None:
    bulk_action_id = dropped(alice)
    assert alice.client.get(f"/bulk-actions/{bulk_action_id}").location == f"/bulk-actions/{bulk_action_id}/mapping"


def test_progress_is_a_part_of_the_page(app: APIFlask, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, PEOPLE)
    part = alice.client.get(f"/bulk-actions/{bulk_action_id}/progress").text
    assert "<html" not in part
    assert "Waiting for a worker" in part
    assert "<progress" in part


def test_rejected_rows_come_back_with_number_and_reason(app: APIFlask, alice: Person) -> None:
    rows = [["ada@example.com", "Ada"], ["nobody", "Grace, Admiral"], ["jean@example.com", "Jean"]]
    bulk_action_id = start(app, alice.organisation_id, csv_of(rows, ["Email", "First name"]))
    work_off(app)
    assert "One row was left out" in alice.client.get(f"/bulk-actions/{bulk_action_id}").text
    answer = alice.client.get(f"/bulk-actions/{bulk_action_id}/rejected-rows.csv")
    assert answer.mimetype == "text/csv"
    assert "rejected rows.csv" in answer.headers["Content-Disposition"]
    head, row = answer.data.decode("utf-8-sig").splitlines()
    assert head == "Email,First name,Row number,Reason"
    assert row.startswith('nobody,"Grace, Admiral",3,')
    assert "is not an e-mail address" in row


@pytest.mark.parametrize(
    ("kept", "plain", "whole"),
    [
        ("a\r\nX-Evil: 1.csv", "aX-Evil: 1", "aX-Evil: 1"),
        ("Zoë € 東.csv", "Zoe  ", "Zoë € 東"),
        ('say "hi"; \\ %41\'.csv', 'say "hi"; \\ %41\'', 'say "hi"; \\ %41\''),
    ],
)
def test_rejected_rows_can_be_fetched_whatever_the_file_was_called(
    app: APIFlask, services: Settings, alice: Person, kept: str, plain: str, whole: str
) -> None:
    bulk_action_id = start(app, alice.organisation_id, PEOPLE)
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET file_name = %s", [kept])
    answer = alice.client.get(f"/bulk-actions/{bulk_action_id}/rejected-rows.csv")
    assert answer.status_code == 200
    assert answer.data
    header = answer.headers["Content-Disposition"]
    assert header.isascii()
    assert parse_options_header(header)[1]["filename"] == f"{whole} - rejected rows.csv"
    before_whole = header.split("; filename*=")[0]
    assert parse_options_header(before_whole)[1]["filename"] == f"{plain} - rejected rows.csv"
    assert "X-Evil" not in answer.headers


def test_a_cancelled_import_says_what_stays(app: APIFlask, alice: Person) -> None:
    bulk_action_id = start(app, alice.organisation_id, PEOPLE)
    assert alice.client.post(f"/bulk-actions/{bulk_action_id}/cancel").status_code == 303
    assert state_of(app, alice, bulk_action_id) is BulkActionState.CANCELLED
    assert "Nothing was changed" in alice.client.get(f"/bulk-actions/{bulk_action_id}").text


def test_the_list_shows_who_imported_what(app: APIFlask, alice: Person, bob: Person) -> None:
    dropped(alice)
    page = bob.client.get("/bulk-actions").text
    assert "people.csv" in page
    assert "Not started" in page
    assert "Alice" in page


def test_htmx_gets_the_list_alone(app: APIFlask, alice: Person) -> None:
    upload(app, alice.organisation_id, PEOPLE)
    part = alice.client.get("/bulk-actions", headers=HTMX).text
    assert "<html" not in part
    assert "contacts.csv" in part


@pytest.mark.parametrize("path", ["", "/mapping", "/progress", "/rejected-rows.csv"])
def test_charlie_finds_nothing_to_read(app: APIFlask, alice: Person, charlie: Person, path: str) -> None:
    bulk_action_id = start(app, alice.organisation_id, PEOPLE)
    assert charlie.client.get(f"/bulk-actions/{bulk_action_id}{path}").status_code == 404
    assert str(bulk_action_id) not in charlie.client.get("/bulk-actions").text


@pytest.mark.parametrize("verb", ["mapping", "start", "cancel"])
def test_charlie_can_change_nothing(app: APIFlask, alice: Person, charlie: Person, verb: str) -> None:
    bulk_action_id = dropped(alice)
    assert charlie.client.post(f"/bulk-actions/{bulk_action_id}/{verb}").status_code == 404
    assert state_of(app, alice, bulk_action_id) is BulkActionState.DRAFT
