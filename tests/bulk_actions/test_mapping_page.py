"""What the mapping page offers: rules, own fields, a look at every row, a try, and rejected rows mended."""

from __future__ import annotations

import io
import re
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, read, work_off
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import preview
from webapp.bulk_actions.models import BulkAction
from webapp.config import Settings

HEADER = ["Email", "First name", "Phone", "Shoe size"]


def drop(person: Person, content: bytes, entity: str = "contacts") -> str:
    """The address of the draft that a dropped file becomes."""
    data = {"entity": entity, "file": (io.BytesIO(content), f"{entity}.csv")}
    answer = person.client.post("/bulk-actions", data=data, content_type="multipart/form-data")
    assert answer.status_code == 303, answer.text
    return str(answer.location).removesuffix("/mapping")


def start(app: APIFlask, person: Person, draft: str, **data: object) -> BulkAction:
    answer = person.client.post(f"{draft}/start", data=data)
    assert answer.status_code == 303, answer.text
    work_off(app)
    return read(app, person.organisation_id, UUID(answer.location.rsplit("/", 1)[1]))


def contacts(settings: Settings) -> dict[str, tuple[object, ...]]:
    with owner_connection(settings) as connection:
        query = "SELECT email_key, first_name, phone, attributes FROM contacts"
        return {row[0]: row[1:] for row in connection.execute(query)}


def test_columns_that_nobody_matched_are_kept_as_own_fields(app: APIFlask, alice: Person, services: Settings) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "", "38"]], HEADER))
    alice.client.post(f"{draft}/mapping", data={"then": "keep_all"})
    page = alice.client.get(f"{draft}/mapping").text
    assert '<option value="own" selected>' in page
    assert 'value="Shoe size"' in page
    assert "4 of 4 matched, 1 of them as a field of its own" in page
    start(app, alice, draft)
    assert contacts(services)["ada@example.com"] == ("Ada", None, {"Shoe size": "38"})


def test_rules_and_country_are_kept_and_remembered(app: APIFlask, alice: Person, services: Settings) -> None:
    start(app, alice, drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER)))
    draft = drop(alice, csv_of([["ada@example.com", "Countess", "030 1234567"]], HEADER))
    chosen = {"mode": "update_only", "policy-1": "fill", "region": "DE"}
    done = start(app, alice, draft, **chosen)
    assert (done.updated_count, done.rejected_count) == (1, 0)
    assert contacts(services)["ada@example.com"][:2] == ("Ada", "+49301234567")
    assert "filled blanks only" in alice.client.get(done.path).text
    again = alice.client.get(f"{drop(alice, csv_of([], HEADER) + b'x@example.com,,,')}/mapping").text
    assert 'value="update_only" checked>' in again
    assert '<option value="DE" selected>Germany (+49)</option>' in again


def test_a_rule_that_does_not_fit_its_column_is_the_usual_one(app: APIFlask, alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER))
    done = start(app, alice, draft, **{"mode": "nonsense", "policy-1": "add", "region": "Atlantis"})
    assert done.created_count == 1
    assert done.rules["mode"] == "create_and_update"


def test_the_rows_are_shown_as_they_would_be_stored(alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", " Ada ", "+49 30 1234567"], ["nobody", "Bob"]], HEADER))
    page = alice.client.get(f"{draft}/mapping").text
    assert "+49301234567" in page
    assert "“nobody” is not an e-mail address." in page
    problems = alice.client.get(f"{draft}/mapping?problems=1").text
    assert "“nobody” is not an e-mail address." in problems
    assert "+49301234567</td>" not in problems


def test_problems_are_looked_for_in_the_whole_file_piece_by_piece(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "ROWS_SHOWN", 2)
    monkeypatch.setattr(preview, "SPAN_BYTES", 300)
    rows = [[f"p{n}@example.com" if n % 7 else f"nobody {n}", "line\nbreak"] for n in range(1, 60)]
    draft = drop(alice, csv_of(rows, HEADER))
    found: list[str] = []
    url = f"{draft}/mapping?problems=1"
    while url:
        page = alice.client.get(url).text
        found += re.findall(r"“(nobody \d+)” is not", page)
        following = re.search(r'href="([^"]+place=[^"]+)"', page)
        url = following[1].replace("&amp;", "&") if following else ""
    assert found == [f"nobody {n}" for n in range(7, 60, 7)]


def test_a_quote_that_is_never_closed_is_said_before_anything_starts(alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER) + b'b@example.com,"never\n')
    assert "opens a quote" in alice.client.get(f"{draft}/mapping").text


def test_a_try_reports_and_changes_nothing_and_the_import_follows(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"], ["nobody"]], HEADER))
    tried = start(app, alice, draft, then="try")
    assert (tried.created_count, tried.rejected_count) == (1, 1)
    assert contacts(services) == {}
    report = alice.client.get(tried.path).text
    assert "this is a try" in report
    assert f'href="{draft}/mapping"' in report
    assert start(app, alice, draft).created_count == 1
    assert set(contacts(services)) == {"ada@example.com"}


def test_rejected_rows_are_mended_and_dropped_again(app: APIFlask, alice: Person, services: Settings) -> None:
    rows = [["ada@example.com", "Ada", "", "38"], ["bob(at)example.com", "Bob", "", "44"]]
    chosen = {"column-3": "attributes.Shoe size", "mode": "create_and_update"}
    done = start(app, alice, drop(alice, csv_of(rows, HEADER)), **chosen)
    report = alice.client.get(f"{done.path}/rejected-rows.csv").data.decode("utf-8-sig")
    assert report.splitlines()[1] == "bob(at)example.com,Bob,,44,3,“bob(at)example.com” is not an e-mail address."
    again = start(app, alice, drop(alice, report.replace("bob(at)", "bob@", 1).encode()))
    assert (again.created_count, again.rejected_count) == (1, 0)
    assert contacts(services)["bob@example.com"] == ("Bob", None, {"Shoe size": "44"})


def test_products_are_imported_from_their_own_page(app: APIFlask, alice: Person, services: Settings) -> None:
    assert 'name="entity" value="products"' in alice.client.get("/products").text
    content = csv_of([["CUP-1", "Cup", "1.234,50"]], ["SKU", "Name", "Price"])
    draft = drop(alice, content, "products")
    page = alice.client.get(f"{draft}/mapping").text
    assert "Country of phone numbers" not in page
    assert "1234.50" in page
    assert start(app, alice, draft).created_count == 1
    with owner_connection(services) as connection:
        assert connection.execute("SELECT sku, price::text FROM products").fetchall() == [("CUP-1", "1234.5000")]


def test_starting_the_import_ends_a_try_that_still_runs(app: APIFlask, alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER))
    tried = alice.client.post(f"{draft}/start", data={"then": "try"}).location
    assert start(app, alice, draft).created_count == 1
    assert "Stopped on request" in alice.client.get(tried).text


def test_a_field_of_its_own_gets_the_name_that_was_typed(app: APIFlask, alice: Person, services: Settings) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "", "38"]], HEADER))
    start(app, alice, draft, **{"column-3": "own", "own-3": "  Size of  shoes "})
    assert contacts(services)["ada@example.com"][2] == {"Size of shoes": "38"}


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_field_of_its_own_without_a_usable_name_is_called_as_its_column(
    app: APIFlask, alice: Person, services: Settings, name: str
) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "", "38"]], HEADER))
    start(app, alice, draft, **{"column-3": "own", "own-3": name})
    assert contacts(services)["ada@example.com"][2] == {"Shoe size": "38"}


def test_fields_of_their_own_are_left_out_again_by_one_press(alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "", "38"]], HEADER))
    alice.client.post(f"{draft}/mapping", data={"then": "keep_all"})
    alice.client.post(f"{draft}/mapping", data={"then": "leave_out"})
    assert "3 of 4 matched; 1 left out." in alice.client.get(f"{draft}/mapping").text


def test_a_column_of_any_name_can_be_kept_but_for_the_two_of_a_report(alice: Person) -> None:
    own = drop(alice, csv_of([["ada@example.com", "Sold out", "x"]], ["Email", "Reason", "Colour"]))
    alice.client.post(f"{own}/mapping", data={"then": "keep_all"})
    assert "3 of 3 matched" in alice.client.get(f"{own}/mapping").text
    report = drop(alice, csv_of([["ada@example.com", "2", "x"]], ["Email", "Row number", "Reason"]))
    alice.client.post(f"{report}/mapping", data={"then": "keep_all"})
    assert "1 of 3 matched" in alice.client.get(f"{report}/mapping").text


def test_a_blank_cell_empties_what_is_there_when_that_is_asked_for(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    start(app, alice, drop(alice, csv_of([["ada@example.com", "Ada", "+49301234567"]], HEADER)))
    draft = drop(alice, csv_of([["ada@example.com", "", ""]], HEADER))
    start(app, alice, draft, **{"mode": "create_and_update", "clear-2": "1"})
    assert contacts(services)["ada@example.com"][:2] == ("Ada", None)


def test_a_row_of_any_number_is_shown(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "SPAN_BYTES", 1024)
    draft = drop(alice, csv_of([[f"p{n}@example.com", f"N{n}"] for n in range(2, 400)], HEADER))
    page = alice.client.get(f"{draft}/preview?row=250").text
    assert "Rows 250 to 349" in page
    assert "p250@example.com" in page
    assert "p249@example.com" not in page
    assert "Rows 2 to 101" in alice.client.get(f"{draft}/preview?row=1").text
    assert "The file has no row 5,000; its last is row 399." in alice.client.get(f"{draft}/preview?row=5000").text


def test_a_row_far_down_is_looked_for_step_by_step(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "SPAN_BYTES", 1024)
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0)
    draft = drop(alice, csv_of([[f"p{n}@example.com", f"N{n}"] for n in range(2, 400)], HEADER))
    url, steps = f"{draft}/preview?row=390", 0
    while "Looking for row 390: at row" in (page := alice.client.get(url).text):
        following = re.search(r'href="([^"]+place=[^"]+)"', page)
        assert following
        url, steps = following[1].replace("&amp;", "&"), steps + 1
    assert steps > 3
    assert "p390@example.com" in page
    assert "p389@example.com" not in page


def test_looking_for_problems_goes_on_by_itself_and_counts(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "SPAN_BYTES", 1024)
    monkeypatch.setattr(preview, "LOOK_SECONDS", 0)
    rows = [[f"p{n}@example.com" if n % 100 else "nobody", "Ada"] for n in range(2, 400)]
    draft = drop(alice, csv_of(rows, HEADER))
    part = alice.client.get(f"{draft}/preview?problems=1").text
    shown = [part]
    while more := re.search(r'hx-get="([^"]+/preview/more[^"]+)" hx-trigger="load"', part):
        part = alice.client.get(more[1].replace("&amp;", "&")).text
        assert "<html" not in part
        shown.append(part)
    assert "Searched the whole file: 3 with problems." in part
    assert len(shown) > 3
    assert sum(one.count("is not an e-mail address") for one in shown) == 3


def test_a_value_that_storing_alters_is_shown_with_what_the_file_says(alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "030 1234567"]], HEADER))
    alice.client.post(f"{draft}/mapping", data={"mode": "create_and_update", "region": "DE"})
    page = alice.client.get(f"{draft}/preview").text
    assert re.search(r'\+49301234567<span class="preview__from" title="In the file">030 1234567</span>', page)


def test_an_own_field_and_a_row_of_another_width_show_their_problems(alice: Person) -> None:
    content = csv_of([["ada@example.com", "Ada", "", "x" * 20_001]], HEADER) + b"bob@example.com,Bob\n"
    draft = drop(alice, content)
    alice.client.post(f"{draft}/mapping", data={"then": "keep_all"})
    page = alice.client.get(f"{draft}/preview?problems=1").text
    assert "Shoe size has 20,001 characters; at most 20,000 fit." in page
    assert "Too few cells: the row has 2 cells, the file 4 columns." in page
    assert "Searched the whole file: 2 with problems." in page


@pytest.mark.parametrize("place", ["x", "1.2", "7.0.1", "99999999.5.5", "-1.0.0"])
def test_a_damaged_place_breaks_nothing(alice: Person, place: str) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER))
    assert alice.client.get(f"{draft}/preview", query_string={"place": place, "problems": "1"}).status_code == 200


def test_nobody_else_sees_a_drafts_rows(alice: Person, charlie: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER))
    assert charlie.client.get(f"{draft}/preview").status_code == 404
    assert charlie.client.get(f"{draft}/preview/more").status_code == 404
    assert charlie.client.post(f"{draft}/import").status_code == 404


def test_a_mended_report_that_fails_again_gives_a_report_like_the_first(app: APIFlask, alice: Person) -> None:
    done = start(app, alice, drop(alice, csv_of([["bob(at)example.com", "Bob"]], HEADER)))
    report = alice.client.get(f"{done.path}/rejected-rows.csv").data
    again = start(app, alice, drop(alice, report.replace(b"bob(at)", b"bob[at]", 1)))
    second = alice.client.get(f"{again.path}/rejected-rows.csv").data.decode("utf-8-sig").splitlines()
    assert second[0] == "Email,First name,Phone,Shoe size,Row number,Reason"
    assert second[1] == "bob[at]example.com,Bob,,,2,“bob[at]example.com” is not an e-mail address."


def test_the_report_of_a_file_without_a_header_is_matched_as_the_file_was(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    rows = b"ada@example.com,Ada,Paris\nbob(at)example.com,Bob,Rome\n"
    chosen = {"column-0": "email", "column-1": "first_name", "column-2": "city"}
    done = start(app, alice, drop(alice, rows), **chosen)
    report = alice.client.get(f"{done.path}/rejected-rows.csv").data
    assert start(app, alice, drop(alice, report.replace(b"bob(at)", b"bob@", 1))).created_count == 1
    assert contacts(services)["bob@example.com"][0] == "Bob"


def test_a_file_that_was_imported_before_says_so_when_and_by_whom(
    app: APIFlask, alice: Person, bob: Person, charlie: Person
) -> None:
    content = csv_of([["ada@example.com", "Ada"]], HEADER)
    first = start(app, alice, drop(alice, content))
    page = bob.client.get(f"{drop(bob, content)}/mapping").text
    assert "This very file was imported before" in page
    assert "by Alice: 1 created" in page
    assert f'href="{first.path}"' in page
    assert "imported before" not in charlie.client.get(f"{drop(charlie, content)}/mapping").text


def test_what_cannot_start_leaves_nothing_and_ends_no_try(app: APIFlask, alice: Person, services: Settings) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER))
    waiting = alice.client.post(f"{draft}/start", data={"then": "try"}).location
    without_key = {"column-0": "", "column-1": "first_name"}
    assert alice.client.post(f"{draft}/start", data=without_key).status_code == 422
    assert alice.client.post(f"{draft}/start", data={**without_key, "then": "try"}).status_code == 422
    assert read(app, alice.organisation_id, UUID(waiting.rsplit("/", 1)[1])).state.value == "pending"
    with owner_connection(services) as connection:
        (drafts,) = connection.execute("SELECT count(*) FROM bulk_actions WHERE state = 'draft'").fetchone() or (0,)
    assert drafts == 1
