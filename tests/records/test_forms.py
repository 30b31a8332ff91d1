"""Forms of records: controls that fit their fields, own fields, and what a page says beside."""

from __future__ import annotations

from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.contacts.test_views import add_contact
from webapp.config import Settings


def test_an_owner_is_chosen_among_the_members(alice: Person, bob: Person, services: Settings) -> None:
    page = alice.client.get("/contacts/new").text
    assert f'<option value="{bob.email}">' in page
    answer = alice.client.post("/contacts/new", data={"email": "x@example.com", "owner_id": bob.email, "notes": "a\nb"})
    assert answer.status_code == 303
    with owner_connection(services) as connection:
        assert connection.execute("SELECT owner_id, notes FROM contacts").fetchall() == [(bob.user_id, "a\nb")]
    assert bob.email in alice.client.get(answer.location).text


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


def test_a_contacts_page_says_whether_they_were_seen(app: APIFlask, alice: Person, services: Settings) -> None:
    contact_id = add_contact(app, alice)
    assert "Not seen on the websites yet" in alice.client.get(f"/contacts/{contact_id}").text
    with owner_connection(services) as connection:
        connection.execute(
            "INSERT INTO known_visitors (organisation_id, visitor_key, first_seen_at, last_seen_at, pageview_count)"
            " VALUES (%s, 'ada@example.com', now(), now(), 3)",
            [alice.organisation_id],
        )
    assert "Seen on the websites: 3 pages" in alice.client.get(f"/contacts/{contact_id}").text
