"""The contacts pages, as alice, bob and charlie see them."""

from __future__ import annotations

import random
import re
from uuid import UUID

from apiflask import APIFlask
from flask import session
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from webapp.contacts.service import create_contact

from tests.conftest import Person
from webapp.contacts.models import Contact
from webapp.contacts.queries import PAGE_SIZE, ContactCount
from webapp.contacts.views import count_text
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.pages import flash_with_undo

HTMX = {"HX-Request": "true"}


def add_contact(app: APIFlask, person: Person, email: str = "ada@example.com", **values: str) -> UUID:
    with app.app_context(), tenant(person.organisation_id):
        contact = create_contact(person.organisation_id, {"email": email, **values})
        db.session.commit()
        return contact.id


def add_many(app: APIFlask, person: Person, count: int) -> None:
    with app.app_context(), tenant(person.organisation_id):
        for number in range(count):
            create_contact(person.organisation_id, {"email": f"p{number:03}@example.com", "last_name": f"L{number:03}"})
        db.session.commit()


def emails(html: str) -> list[str]:
    return re.findall(r"[\w.]+@example\.com(?=</td>)", html)


def test_nobody_sees_contacts_without_signing_in(client: FlaskClient) -> None:
    answer = client.get("/contacts")
    assert answer.status_code == 302
    assert "/sign-in" in answer.location


def test_an_empty_list_is_a_drop_zone(alice: Person) -> None:
    page = alice.client.get("/contacts").text
    assert "Drop a CSV file here" in page
    assert 'enctype="multipart/form-data"' in page
    assert "<table" not in page


def test_the_drop_zone_is_a_plain_form_for_browsers_without_scripts(alice: Person) -> None:
    page = alice.client.get("/contacts").text
    assert re.search(r'<form[^>]*method="post"[^>]*action="/bulk-actions"', page)
    assert '<button class="button" type="submit" data-without-script>Upload</button>' in page


def test_the_list_shows_everybody_and_how_many_they_are(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "ada@example.com", first_name="Ada", last_name="Lovelace", company="Engines")
    page = alice.client.get("/contacts").text
    assert "Ada Lovelace" in page
    assert "Engines" in page
    assert "1 contact<" in page


def test_bob_sees_the_contacts_of_his_organisation(app: APIFlask, alice: Person, bob: Person) -> None:
    add_contact(app, alice)
    assert "ada@example.com" in bob.client.get("/contacts").text


def test_charlie_sees_nothing_of_another_organisation(app: APIFlask, alice: Person, charlie: Person) -> None:
    contact_id = add_contact(app, alice)
    assert "ada@example.com" not in charlie.client.get("/contacts").text
    assert charlie.client.get(f"/contacts/{contact_id}").status_code == 404
    assert charlie.client.get(f"/contacts/{contact_id}/edit").status_code == 404
    assert charlie.client.post(f"/contacts/{contact_id}/edit", data={"email": "c@example.com"}).status_code == 404
    assert charlie.client.post(f"/contacts/{contact_id}/delete").status_code == 404
    assert alice.client.get(f"/contacts/{contact_id}").status_code == 200


def test_search_finds_by_the_beginning_of_a_name(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "ada@example.com", first_name="Ada")
    add_contact(app, alice, "grace@example.com", first_name="Grace")
    page = alice.client.get("/contacts?q=gra").text
    assert emails(page) == ["grace@example.com"]
    assert "1 contact found" in page


def test_a_search_without_a_find_says_so_and_offers_a_way_back(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    page = alice.client.get("/contacts?q=nobody").text
    assert "Nobody matches “nobody”" in page
    assert "Drop a CSV file here" in page  # in the dialog behind the Import button


def test_what_is_searched_for_cannot_write_html(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    assert "<script>alert" not in alice.client.get("/contacts?q=<script>alert(1)</script>").text


def test_htmx_gets_the_list_alone_and_caches_are_told(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    answer = alice.client.get("/contacts?q=ada", headers=HTMX)
    assert "<html" not in answer.text
    assert "ada@example.com" in answer.text
    assert "HX-Request" in answer.headers["Vary"]


def test_headings_sort_and_turn_round(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "b@example.com")
    add_contact(app, alice, "a@example.com")
    ascending = alice.client.get("/contacts?sort=email").text
    assert emails(ascending) == ["a@example.com", "b@example.com"]
    assert 'aria-sort="ascending"' in ascending
    assert "/contacts?sort=email&amp;direction=desc" in ascending
    assert emails(alice.client.get("/contacts?sort=email&direction=desc").text) == ["b@example.com", "a@example.com"]


def test_an_unknown_sort_is_the_usual_one(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    assert alice.client.get("/contacts?sort=shoe_size&direction=up").status_code == 200


def test_pages_follow_one_another_and_keep_search_and_sort(app: APIFlask, alice: Person) -> None:
    add_many(app, alice, PAGE_SIZE + 2)
    first = alice.client.get("/contacts?sort=email&q=p").text
    assert len(emails(first)) == PAGE_SIZE
    next_url = next(url for url in re.findall(r'href="([^"]+)" rel="next"', first)).replace("&amp;", "&")
    assert "sort=email" in next_url
    assert "q=p" in next_url
    second = alice.client.get(next_url).text
    assert emails(second) == [f"p{PAGE_SIZE:03}@example.com", f"p{PAGE_SIZE + 1:03}@example.com"]
    assert "First page" in second


def test_a_damaged_cursor_is_explained(alice: Person) -> None:
    answer = alice.client.get("/contacts?cursor=!!!")
    assert answer.status_code == 400
    assert "Start again from the first page" in answer.text


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
    assert "already has the address" in answer.text


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


def incompressible(seed: str, length: int) -> str:
    return "".join(random.Random(seed).choices([chr(code) for code in range(0x4E00, 0x9000)], k=length))


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
    for value in (wrapped, wrapped[:-1], ""):
        charlie.client.post("/contacts/restore", data={"undo": value})
        assert "too late to undo" in charlie.client.get("/contacts").text
    assert alice.client.get(f"/contacts/{contact_id}").status_code == 404


def test_a_contact_that_is_too_long_for_a_cookie_is_deleted_without_undo(app: APIFlask, alice: Person) -> None:
    names = ("first_name", "last_name", "company", "job_title", "city", "country")
    contact_id = add_contact(app, alice, **{name: incompressible(name, 200) for name in names})
    alice.client.post(f"/contacts/{contact_id}/delete")
    page = alice.client.get("/contacts").text
    assert "is deleted." in page
    assert 'name="undo"' not in page


def test_the_cookie_stays_small_enough_for_browsers(app: APIFlask, alice: Person) -> None:
    with app.app_context():
        contact = Contact(organisation_id=alice.organisation_id, id=uuid7(), email="ada@example.com")
        contact.created_at = contact.updated_at = utc_now()
        contact.city = incompressible("city", 560)
        wrapped = undo.wrap("secret", contact)
    assert wrapped is not None
    assert len(wrapped) > 0.8 * undo.MAX_TEXT_LENGTH
    with app.test_request_context():
        flash_with_undo("x" * 300, "/contacts/restore", wrapped)
        serializer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert serializer is not None
        assert len(str(serializer.dumps(dict(session)))) < 3600


def test_counts_are_said_in_words() -> None:
    assert count_text(ContactCount(1, is_exact=True), "") == "1 contact"
    assert count_text(ContactCount(1234, is_exact=True), "") == "1,234 contacts"
    assert count_text(ContactCount(100_000, is_exact=False), "a") == "Over 100,000 contacts found"
