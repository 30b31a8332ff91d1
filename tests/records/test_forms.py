"""Forms of records: controls that fit their fields, own fields, and what a page says beside."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.verbs.test_verbs import HEADER
from tests.conftest import Person, owner_connection
from tests.records.people import add_contact
from tests.records.support import add_record
from tests.records.test_merge import import_rows
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import tenant
from webapp.products.models import PRODUCTS
from webapp.records.imports import find_import
from webapp.records.queries import find_by_key


def test_an_owner_is_chosen_among_the_members(alice: Person, bob: Person, services: Settings) -> None:
    page = alice.client.get("/contacts/new").text
    assert f'<option value="{bob.email}">' in page
    answer = alice.client.post("/contacts/new", data={"email": "x@example.com", "owner_id": bob.email, "notes": "a\nb"})
    assert answer.status_code == 303
    with owner_connection(services) as connection:
        assert connection.execute("SELECT owner_id, notes FROM contacts").fetchall() == [(bob.user_id, "a\nb")]
    assert "<dt>Owner</dt><dd>Bob" in alice.client.get(answer.location).text


def test_own_fields_are_added_changed_and_removed(app: APIFlask, alice: Person, services: Settings) -> None:
    contact_id = add_contact(app, alice)

    def save(names: list[str], values: list[str]) -> None:
        data = {"email": "ada@example.com", "attribute-name": names, "attribute-value": values}
        assert alice.client.post(f"/contacts/{contact_id}/edit", data=data).status_code == 303

    def kept() -> object:
        with owner_connection(services) as connection:
            return connection.execute("SELECT attributes FROM contacts").fetchone()

    save(["Shoe size", ""], ["38", ""])
    assert kept() == ({"Shoe size": "38"},)
    form = alice.client.get(f"/contacts/{contact_id}/edit").text
    assert 'value="Shoe size"' in form
    assert 'value="38"' in form
    save(["Shoe size", "Hat"], ["", "M"])
    assert kept() == ({"Hat": "M"},)


def test_a_product_is_active_unless_somebody_says_no(alice: Person, services: Settings) -> None:
    alice.client.post("/products/new", data={"sku": "a"})
    alice.client.post("/products/new", data={"sku": "b", "is_active": "no", "price": "1,5", "currency": "eur"})
    with owner_connection(services) as connection:
        rows = connection.execute("SELECT sku, is_active, price::text, currency FROM products ORDER BY 1").fetchall()
    assert rows == [("a", True, None, None), ("b", False, "1.5000", "EUR")]


# Own fields ----------------------------------------------------------------------------------------


def test_another_row_is_offered_and_one_taken_away_without_saving(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice)
    url, given = f"/contacts/{contact_id}/edit", {"email": "ada@example.com", "city": "Ulm"}
    rows = {"attribute-name": ["Hat", "Shoe"], "attribute-value": ["M", "38"]}
    more = alice.client.post(url, data={**given, **rows, "add_row": "1"})
    assert more.status_code == 200
    assert more.text.count('name="attribute-name"') == 3
    assert 'value="Ulm"' in more.text
    fewer = alice.client.post(url, data={**given, **rows, "remove_row": "0"}).text
    assert 'value="Hat"' not in fewer
    assert 'value="Shoe"' in fewer
    assert "Ulm" not in alice.client.get(f"/contacts/{contact_id}").text


@pytest.mark.parametrize(
    ("names", "values", "reason"),
    [
        (["", "Hat"], ["38", "M"], "Give the field with “38” a name."),
        (["Hat", " Hat "], ["M", "L"], "Two fields are called Hat."),
        (["x" * 101], ["M"], "needs a name of 1 to 100 characters"),
    ],
)
def test_own_fields_that_cannot_be_kept_come_back_with_the_reason(
    alice: Person, names: list[str], values: list[str], reason: str
) -> None:
    data = {"email": "ada@example.com", "attribute-name": names, "attribute-value": values}
    answer = alice.client.post("/contacts/new", data=data)
    assert answer.status_code == 422
    assert reason in answer.text
    assert f'value="{values[0]}"' in answer.text


def test_an_own_field_with_line_breaks_keeps_them(app: APIFlask, alice: Person, services: Settings) -> None:
    contact_id = add_contact(app, alice, attributes={"Directions": "left\nright"})
    assert "left\nright</textarea>" in alice.client.get(f"/contacts/{contact_id}/edit").text
    data = {"email": "ada@example.com", "attribute-name": "Directions", "attribute-value": "left\r\nright"}
    alice.client.post(f"/contacts/{contact_id}/edit", data=data)
    assert kept_contact(services)["attributes"] == {"Directions": "left\nright"}


# Saving at the same time as somebody else ----------------------------------------------------------


def form_of(person: Person, record_id: UUID, name: str = "contacts") -> dict[str, Any]:
    """What a browser would send of the edit form as it stands now."""
    page = person.client.get(f"/{name}/{record_id}/edit").text
    form = html_form(page)
    return {name: values if len(values) > 1 else values[0] for name, values in form.items()}


def html_form(page: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    inside = page[page.index('id="form"') : page.index("</form>", page.index('id="form"'))]
    for tag, name, text in FIELD.findall(inside):
        value = re.search(r'value="([^"]*)"', tag)
        found.setdefault(name, []).append(unescape(value[1] if value else text))
    return found


FIELD = re.compile(r'(<(?:input|textarea)[^>]*name="([^"]+)"[^>]*>)(?:([^<]*)</textarea>)?')


def test_two_who_change_the_same_contact_do_not_undo_each_other(
    app: APIFlask, alice: Person, bob: Person, services: Settings
) -> None:
    contact_id = add_contact(app, alice, city="London", attributes={"Hat": "M"})
    url = f"/contacts/{contact_id}/edit"
    alices, bobs = form_of(alice, contact_id), form_of(bob, contact_id)
    assert bob.client.post(url, data={**bobs, "city": "Paris"}).status_code == 303
    answer = alice.client.post(url, data={**alices, "phone": "+49 30 901820"})
    assert answer.status_code == 409
    assert "somebody else changed this contact meanwhile" in answer.text
    assert row_of(answer.text, "City") == ("Paris", "London")
    assert row_of(answer.text, "Phone") == ("–", "+49 30 901820")
    assert row_of(answer.text, "Hat") is None
    assert kept_contact(services)["city"] == "Paris"


def row_of(page: str, label: str) -> tuple[str, str] | None:
    """(saved by now, entered) in the table of differences."""
    found = re.search(rf'<th scope="row">{label}</th>(.*?)</tr>', page)
    if found is None:
        return None
    now, entered = (re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", found[1]))
    return now, entered


def test_saving_again_after_looking_keeps_what_was_entered(
    app: APIFlask, alice: Person, bob: Person, services: Settings
) -> None:
    contact_id = add_contact(app, alice, city="London")
    url = f"/contacts/{contact_id}/edit"
    alices, bobs = form_of(alice, contact_id), form_of(bob, contact_id)
    bob.client.post(url, data={**bobs, "city": "Paris"})
    conflict = alice.client.post(url, data={**alices, "city": "Rome"}, headers={"HX-Request": "true"})
    assert conflict.status_code == 409
    assert "<html" not in conflict.text
    again = {name: values[0] for name, values in html_form(conflict.text).items()}
    assert again["city"] == "Rome"
    assert alice.client.post(url, data=again).status_code == 303
    assert kept_contact(services)["city"] == "Rome"


def test_who_entered_the_same_as_somebody_else_meets_no_conflict(
    app: APIFlask, alice: Person, bob: Person, services: Settings
) -> None:
    contact_id = add_contact(app, alice, notes="a\nb", tags="x, y")
    url = f"/contacts/{contact_id}/edit"
    alices, bobs = form_of(alice, contact_id), form_of(bob, contact_id)
    for person, form in ((bob, bobs), (alice, alices)):
        assert person.client.post(url, data={**form, "city": "Paris", "notes": "a\r\nb"}).status_code == 303
    assert kept_contact(services)["city"] == "Paris"


def test_a_conflict_comes_before_faults_and_both_before_saving(app: APIFlask, alice: Person, bob: Person) -> None:
    contact_id = add_contact(app, alice)
    url = f"/contacts/{contact_id}/edit"
    alices, bobs = form_of(alice, contact_id), form_of(bob, contact_id)
    bob.client.post(url, data={**bobs, "city": "Paris"})
    conflict = alice.client.post(url, data={**alices, "phone": "7"})
    assert conflict.status_code == 409
    again = {name: values[0] for name, values in html_form(conflict.text).items()}
    refused = alice.client.post(url, data=again)
    assert refused.status_code == 422
    assert html_form(refused.text)["version"] == html_form(conflict.text)["version"]


def test_what_changes_no_field_is_no_conflict(app: APIFlask, alice: Person, services: Settings) -> None:
    product_id = add_record(app, alice, PRODUCTS)
    form = form_of(alice, product_id, "products")
    with owner_connection(services) as connection:
        connection.execute("UPDATE products SET image_id = gen_random_uuid(), updated_at = now()")
    assert alice.client.post(f"/products/{product_id}/edit", data={**form, "price": "9"}).status_code == 303


def test_a_form_that_does_not_say_what_it_showed_is_taken(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice)
    data = {"email": "ada@example.com", "city": "Ulm", "version": ""}
    assert alice.client.post(f"/contacts/{contact_id}/edit", data=data).status_code == 303


def test_saving_what_was_not_changed_changes_nothing(app: APIFlask, alice: Person, services: Settings) -> None:
    contact_id = add_contact(app, alice, notes="a\nb", tags="x, y", attributes={"Hat": "M"})
    before = kept_contact(services)
    assert alice.client.post(f"/contacts/{contact_id}/edit", data=form_of(alice, contact_id)).status_code == 303
    assert kept_contact(services) == before


def test_an_owner_who_left_stays_the_owner(app: APIFlask, alice: Person, bob: Person, services: Settings) -> None:
    contact_id = add_contact(app, alice, owner_id=bob.email)
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [bob.user_id])
    page = alice.client.get(f"/contacts/{contact_id}/edit").text
    assert f'<option value="{bob.user_id}" selected>Somebody who left</option>' in page
    assert "Somebody who left" in alice.client.get(f"/contacts/{contact_id}").text
    data = {"email": "ada@example.com", "city": "Ulm", "owner_id": str(bob.user_id)}
    assert alice.client.post(f"/contacts/{contact_id}/edit", data=data).status_code == 303
    assert (kept_contact(services)["owner_id"], kept_contact(services)["city"]) == (str(bob.user_id), "Ulm")


# What the pages show -------------------------------------------------------------------------------


def test_tags_lead_to_the_list_and_notes_keep_their_lines(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice, notes="first\nsecond", tags="key account, new")
    page = alice.client.get(f"/contacts/{contact_id}").text
    assert 'href="/contacts?tag=key+account">key account</a>' in page
    assert '<dd class="multiline">first\nsecond</dd>' in page


def test_a_contacts_page_names_the_file_that_it_came_with(app: APIFlask, alice: Person, charlie: Person) -> None:
    done = import_rows(app, alice.organisation_id, [["ada@example.com", "Ada", "Ulm", "", "1"]], HEADER)
    with app.app_context(), tenant(alice.organisation_id):
        contact = find_by_key(CONTACTS, alice.organisation_id, "ada@example.com")
        found = find_import(alice.organisation_id, done.id)
        assert found is not None
        assert found.file_name == done.file_name
    page = alice.client.get(f"/contacts/{contact.id}").text
    assert f'Came with <a href="/bulk-actions/{done.id}">{done.file_name}</a>' in page
    with app.app_context(), tenant(charlie.organisation_id):
        assert find_import(charlie.organisation_id, done.id) is None


def test_tags_in_use_are_offered_after_those_that_were_entered(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, tags="key account, kept, new")
    assert offered(alice, "ke") == ["kept", "key account"]
    assert offered(alice, "new, ke") == ["new, kept", "new, key account"]
    assert offered(alice, "") == ["kept", "key account", "new"]
    assert offered(alice, "KE%") == []


def test_charlie_is_offered_no_tags_of_another_organisation(app: APIFlask, alice: Person, charlie: Person) -> None:
    add_contact(app, alice, tags="secret")
    assert offered(charlie, "") == []


def offered(person: Person, entered: str) -> list[str]:
    page = person.client.get("/contacts/tags", query_string={"tags": entered}).text
    return re.findall(r'<option value="([^"]*)"', page)


def kept_contact(services: Settings) -> dict[str, Any]:
    """The one contact's row."""
    with owner_connection(services) as connection:
        row = connection.execute("SELECT to_jsonb(c) FROM contacts c").fetchone()
    assert row
    found: dict[str, Any] = row[0]
    return found
