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
    assert '<option value="attributes.Shoe size" selected>' in page
    start(app, alice, draft)
    assert contacts(services)["ada@example.com"] == ("Ada", None, {"Shoe size": "38"})


def test_rules_and_country_are_kept_and_remembered(app: APIFlask, alice: Person, services: Settings) -> None:
    start(app, alice, drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER)))
    draft = drop(alice, csv_of([["ada@example.com", "Countess", "030 1234567"]], HEADER))
    chosen = {"mode": "update_only", "policy-1": "fill", "region": "DE"}
    done = start(app, alice, draft, **chosen)
    assert (done.updated_count, done.rejected_count) == (1, 0)
    assert contacts(services)["ada@example.com"][:2] == ("Ada", "+49301234567")
    assert "fills blanks only" in alice.client.get(done.path).text
    again = alice.client.get(f"{drop(alice, csv_of([], HEADER) + b'x@example.com,,,')}/mapping").text
    assert '<option value="update_only" selected>' in again
    assert '<option value="DE" selected>' in again


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
        following = re.search(r'href="([^"]+place=[^"]+)#preview"', page)
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
    assert "This was only tried" in report
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
