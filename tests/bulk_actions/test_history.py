"""The history of bulk actions, and an import's own page: what was done, how it was matched, what can be done next."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, read, sweep, work_off
from tests.bulk_actions.test_mapping_page import HEADER, contacts, drop, start
from tests.conftest import Person, owner_connection
from webapp.config import Settings

PRODUCTS = csv_of([["CUP-1", "Cup"]], ["SKU", "Name"])


def titles(whose: Person, /, **wanted: str) -> list[str]:
    page = whose.client.get("/bulk-actions", query_string=wanted).text
    return re.findall(r'class="table__link" href="[^"]+">([^<]+)<', page)


def test_the_history_is_filtered_by_records_state_verb_and_person(app: APIFlask, alice: Person, bob: Person) -> None:
    done = start(app, alice, drop(alice, csv_of([["ada@example.com"]], HEADER)))
    drop(bob, PRODUCTS, "products")
    alice.client.post(f"{done.path}/undo")
    work_off(app)
    undone, imported, draft = "Undo a bulk action on contacts", "Import contacts.csv", "Import products.csv"
    assert titles(alice) == [undone, draft, imported]
    assert titles(alice, entity="products") == [draft]
    assert titles(alice, state="draft") == [draft]
    assert titles(alice, state="completed") == [undone, imported]
    assert titles(alice, verb="import") == [draft, imported]
    assert titles(alice, verb="import", person=str(alice.user_id)) == [imported]
    assert titles(alice, person=str(bob.user_id)) == [draft]


@pytest.mark.parametrize("wanted", [{"entity": "dragons"}, {"state": "x"}, {"verb": "x"}, {"person": "x"}])
def test_a_filter_that_nobody_offers_is_none(alice: Person, wanted: dict[str, str]) -> None:
    drop(alice, PRODUCTS, "products")
    assert titles(alice, **wanted) == ["Import products.csv"]


def test_a_filter_that_nothing_matches_says_so(alice: Person) -> None:
    page = alice.client.get("/bulk-actions?state=failed").text
    assert "No bulk action matches" in page
    assert '<option value="failed" selected>Failed</option>' in page


def test_the_page_of_an_import_says_how_it_was_matched(app: APIFlask, alice: Person) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "030 1234567", "38"]], HEADER))
    chosen = {"mode": "skip_existing", "policy-1": "fill", "clear-2": "1", "region": "DE", "column-3": "own"}
    page = alice.client.get(start(app, alice, draft, **chosen).path).text
    assert "Contacts whose e-mail is new are created; those that exist stay as they are." in page
    assert "filled blanks only" in page
    assert "overwrote what was there; a blank cell emptied it" in page
    assert 'Shoe size <span class="none">(a field of its own)</span>' in page
    assert "Germany" in page
    assert f'href="/contacts?import={draft.rsplit("/", 1)[1]}"' in page


def test_a_try_becomes_the_import_with_what_was_tried(app: APIFlask, alice: Person, services: Settings) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada", "030 1234567", "38"]], HEADER))
    tried = start(app, alice, draft, then="try", mode="create_only", region="DE", **{"column-3": "own"})
    assert "Start the import for real" in alice.client.get(tried.path).text
    alice.client.post(f"{draft}/mapping", data={"mode": "update_only", "region": "", "column-3": ""})
    answer = alice.client.post(f"{tried.path}/import")
    assert answer.location == draft
    work_off(app)
    assert contacts(services) == {"ada@example.com": ("Ada", "+49301234567", {"Shoe size": "38"})}
    assert read(app, alice.organisation_id, UUID(draft.rsplit("/", 1)[1])).rules["mode"] == "create_only"
    report = alice.client.get(tried.path).text
    assert "Start the import for real" not in report
    assert "To the import itself" in report
    assert alice.client.post(f"{tried.path}/import").location == draft


def test_a_try_of_a_workbook_or_of_wide_characters_leaves_the_drafts_file_as_it_was(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    content = csv_of([["ada@example.com", "Ada"], ["nobody"]], HEADER).decode().encode("utf-16")
    draft = drop(alice, content)
    tried = start(app, alice, draft, then="try")
    assert (tried.created_count, tried.rejected_count) == (1, 1)
    sweep(app)
    work_off(app)
    assert start(app, alice, draft).created_count == 1
    assert set(contacts(services)) == {"ada@example.com"}


def test_a_try_whose_draft_is_gone_says_that_its_file_is(app: APIFlask, alice: Person, services: Settings) -> None:
    draft = drop(alice, csv_of([["ada@example.com", "Ada"]], HEADER))
    tried = start(app, alice, draft, then="try")
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM bulk_actions WHERE id = %s", [draft.rsplit("/", 1)[1]])
    assert "Its file is no longer kept" in alice.client.get(tried.path).text
    assert alice.client.post(f"{tried.path}/import").status_code == 404


def test_an_import_that_was_no_try_cannot_be_done_again_so(app: APIFlask, alice: Person) -> None:
    done = start(app, alice, drop(alice, csv_of([["ada@example.com"]], HEADER)))
    assert alice.client.post(f"{done.path}/import").status_code == 404


def test_rejected_and_replaced_rows_are_listed_page_by_page(app: APIFlask, alice: Person) -> None:
    rows = [[f"nobody {n}", "Bad"] for n in range(50)] + [["ada@example.com", "One"], ["ada@example.com", "Two"]]
    done = start(app, alice, drop(alice, csv_of(rows, HEADER)))
    page = alice.client.get(f"{done.path}/rows?outcome=rejected").text
    assert "“nobody 0” is not an e-mail address." in page
    following = re.search(r'href="([^"]+after=[^"]+)"', page)
    assert following
    assert "“nobody 49” is not an e-mail address." in alice.client.get(following[1].replace("&amp;", "&")).text
    replaced = alice.client.get(f"{done.path}/rows?outcome=duplicate").text
    assert re.search(r'"Row">52</td>\s*<td data-label="Replaced by row">53</td>', replaced)
