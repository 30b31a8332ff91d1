"""The contacts pages, as alice, bob and charlie see them."""

from __future__ import annotations

import re
from uuid import UUID

from apiflask import APIFlask

from tests.conftest import Person
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.records.service import create_record

HTMX = {"HX-Request": "true"}


def add_contact(app: APIFlask, person: Person, email: str = "ada@example.com", **values: str) -> UUID:
    with app.app_context(), tenant(person.organisation_id):
        contact = create_record(CONTACTS, person.organisation_id, {"email": email, **values})
        db.session.commit()
        contact_id: UUID = contact.id
        return contact_id


def test_the_drop_zone_is_a_plain_form_for_browsers_without_scripts(alice: Person) -> None:
    page = alice.client.get("/contacts").text
    assert re.search(r'<form[^>]*method="post"[^>]*action="/bulk-actions"', page)
    assert '<button class="button" type="submit" data-without-script>Upload</button>' in page


def test_charlie_sees_nothing_of_another_organisation(app: APIFlask, alice: Person, charlie: Person) -> None:
    contact_id = add_contact(app, alice)
    assert "ada@example.com" not in charlie.client.get("/contacts").text
    assert charlie.client.get(f"/contacts/{contact_id}").status_code == 404
    assert charlie.client.get(f"/contacts/{contact_id}/edit").status_code == 404
    assert charlie.client.post(f"/contacts/{contact_id}/edit", data={"email": "c@example.com"}).status_code == 404
    assert charlie.client.post(f"/contacts/{contact_id}/delete").status_code == 404
    assert alice.client.get(f"/contacts/{contact_id}").status_code == 200


def test_a_new_contact_is_saved_and_shown(alice: Person) -> None:
    answer = alice.client.post("/contacts/new", data={"email": "new@example.com", "first_name": "Nia"})
    assert answer.status_code == 303
    page = alice.client.get(answer.location).text
    assert "new@example.com" in page
    assert "Nia is saved." in page


def test_a_bad_address_gets_the_form_back_with_the_reason_and_the_input(alice: Person) -> None:
    answer = alice.client.post("/contacts/new", data={"email": "nowhere", "first_name": "Nia"})
    assert answer.status_code == 422
    assert "is not an e-mail address" in answer.text
    assert 'value="Nia"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_htmx_gets_the_form_alone_when_something_is_wrong(alice: Person) -> None:
    answer = alice.client.post("/contacts/new", data={"email": ""}, headers=HTMX)
    assert answer.status_code == 422
    assert "<html" not in answer.text
    assert "E-mail is missing." in answer.text


def test_an_address_that_is_taken_is_refused(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    answer = alice.client.post("/contacts/new", data={"email": "ADA@example.com"})
    assert answer.status_code == 422
    assert "already has the E-mail" in answer.text


def test_a_contact_can_be_changed_and_emptied(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice, first_name="Ada", city="London")
    answer = alice.client.post(f"/contacts/{contact_id}/edit", data={"email": "ada@example.com", "city": "Paris"})
    assert answer.status_code == 303
    page = alice.client.get(answer.location).text
    assert "Paris" in page
    assert ">Ada<" not in page


def test_a_change_that_cannot_be_kept_changes_nothing(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice, city="London")
    answer = alice.client.post(f"/contacts/{contact_id}/edit", data={"email": "x", "city": "Paris"})
    assert answer.status_code == 422
    assert "London" in alice.client.get(f"/contacts/{contact_id}").text


def test_the_edit_page_holds_what_is_known(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice, city="London")
    page = alice.client.get(f"/contacts/{contact_id}/edit").text
    assert 'value="London"' in page
    assert f'action="/contacts/{contact_id}/delete"' in page


def test_a_deleted_contact_is_gone(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice)
    answer = alice.client.post(f"/contacts/{contact_id}/delete")
    assert answer.status_code == 303
    assert "ada@example.com is deleted." in alice.client.get("/contacts").text
    assert alice.client.get(f"/contacts/{contact_id}").status_code == 404


def undo_of(alice: Person) -> str:
    """What the "Undo" button on the list would post."""
    found = re.search(r'name="undo" value="([^"]+)"', alice.client.get("/contacts").text)
    assert found is not None
    return found[1]


def test_a_deletion_can_be_undone(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice, first_name="Ada", city="Zürich")
    before = alice.client.get(f"/contacts/{contact_id}").text
    alice.client.post(f"/contacts/{contact_id}/delete")
    wrapped = undo_of(alice)
    for _ in range(2):  # a second press changes nothing
        answer = alice.client.post("/contacts/restore", data={"undo": wrapped})
        assert answer.headers["Location"] == f"/contacts/{contact_id}"
        assert "Ada is restored." in alice.client.get(f"/contacts/{contact_id}").text
    after = alice.client.get(f"/contacts/{contact_id}").text
    facts = re.compile(r'<div class="card__body">.*?</section>', re.DOTALL)
    assert facts.findall(after) == facts.findall(before)


def test_a_deletion_cannot_be_undone_when_the_address_is_taken(app: APIFlask, alice: Person) -> None:
    contact_id = add_contact(app, alice)
    alice.client.post(f"/contacts/{contact_id}/delete")
    wrapped = undo_of(alice)
    add_contact(app, alice)
    alice.client.post("/contacts/restore", data={"undo": wrapped})
    assert "The contact is not restored." in alice.client.get("/contacts").text
    assert alice.client.get(f"/contacts/{contact_id}").status_code == 404


def test_nobody_undoes_what_another_organisation_deleted(app: APIFlask, alice: Person, charlie: Person) -> None:
    contact_id = add_contact(app, alice)
    alice.client.post(f"/contacts/{contact_id}/delete")
    wrapped = undo_of(alice)
    charlie.client.post("/contacts/restore", data={"undo": wrapped})
    assert "too late to undo" in charlie.client.get("/contacts").text
    for damaged in (wrapped[:-1], ""):
        assert charlie.client.post("/contacts/restore", data={"undo": damaged}).status_code == 400
    assert alice.client.get(f"/contacts/{contact_id}").status_code == 404
