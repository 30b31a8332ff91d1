"""What a contact did on the websites, on their page: from before they were known, live, and nobody else's."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, import_file
from tests.conftest import Person, owner_connection
from tests.records.people import add_contact
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.products.models import PRODUCTS
from webapp.records.service import create_record
from webapp.visits.backlog import Kind
from webapp.visits.models import Site

HTMX = {"HX-Request": "true"}
AT = utc("2026-11-20T10:00:00")
ADA = "ada@example.com"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


@pytest.fixture
def contact_id(app: APIFlask, alice: Person, site: Site) -> UUID:
    return add_contact(app, alice, "Ada@example.com", first_name="Ada")


def visit(app: APIFlask, settings: Settings, site: Site, visitor: str, *rows: dict[str, object]) -> None:
    """One row a minute."""
    add_rows(
        settings,
        [make_row(site, AT + timedelta(minutes=number), visitor=visitor, **row) for number, row in enumerate(rows)],
    )
    count_all(app, settings)


def read(person: Person, contact_id: UUID, more: str = "") -> str:
    answer = person.client.get(f"/contacts/{contact_id}/visits{more}", headers=HTMX)
    assert answer.status_code == 200
    return html.unescape(answer.text)


def test_the_contacts_page_answers_at_once_and_loads_the_visits(alice: Person, contact_id: UUID) -> None:
    page = alice.client.get(f"/contacts/{contact_id}").text
    assert f'hx-get="/contacts/{contact_id}/visits" hx-trigger="load"' in page
    assert "Not known on the websites yet" in read(alice, contact_id)
    assert "footfall.identify" in read(alice, contact_id)


def test_visits_from_before_the_contact_and_before_the_name_are_shown(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID
) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        product = create_record(PRODUCTS, alice.organisation_id, {"sku": "SKU-1", "name": "Dark roast"})
        db.session.commit()
        product_id = product.id
    visit(
        app,
        services,
        site,
        "b1",
        {"page_url": f"{ORIGIN}/pricing", "referrer": "https://www.google.com/", "country": "GB", "device": "mobile"},
        {"kind": Kind.EVENT, "name": "Sign-up <b>", "props": '{"plan":"yearly"}', "page_url": f"{ORIGIN}/pricing"},
        {"kind": Kind.PRODUCT, "name": "sku-1", "page_url": f"{ORIGIN}/beans"},
        {"kind": Kind.PRODUCT, "name": "unknown", "page_url": f"{ORIGIN}/beans"},
        {"kind": Kind.IDENTIFY, "name": ADA},
    )
    page = read(alice, contact_id)
    for text in ("/pricing", "Sign-up <b>", "yearly", "from google.com", "Mobile", "United Kingdom", "Shop"):
        assert text in page
    assert f'<a href="/products/{product_id}">Dark roast</a>' in page
    assert "(not among your products)" in page
    assert "Sign-up &lt;b&gt;" in alice.client.get(f"/contacts/{contact_id}/visits").text  # the page without scripts
    summary = read(alice, contact_id, "/summary")
    assert "1 linked browser" in summary
    assert re.search(r"Pageviews</span>\s*<span class=\"stat__value\">1<", summary)
    last_seen = (
        r"Last seen</span>\s*<span class=\"stat__value\">\d+ \w+ \d{4}</span>\s*<span class=\"stat__note\">\d\d:\d\d<"
    )
    assert re.search(last_seen, summary), "a day with its time is too wide for its place"


def test_visits_from_before_the_contact_arrived_in_a_file_are_shown(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    rows: list[dict[str, object]] = [
        {"page_url": f"{ORIGIN}/unnamed"},
        {"kind": Kind.IDENTIFY, "name": ADA},
        {"page_url": f"{ORIGIN}/named"},
    ]
    visit(app, services, site, "b1", *rows)
    done = import_file(app, alice.organisation_id, csv_of([["Ada@Example.com", "Ada"], ["bob@example.com", "Bob"]]))
    assert done.created_count == 2
    found = re.search(r'href="/contacts/([0-9a-f-]{36})"', alice.client.get(f"/contacts?q={ADA}").text)
    assert found
    contact_id = UUID(found[1])
    assert f'hx-get="/contacts/{contact_id}/visits"' in alice.client.get(f"/contacts/{contact_id}").text
    page = read(alice, contact_id)
    assert "/unnamed" in page
    assert "/named" in page
    assert "1 linked browser" in read(alice, contact_id, "/summary")


def test_more_is_loaded_by_the_page_before(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID
) -> None:
    rows = [make_row(site, AT - timedelta(hours=hour), visitor=ADA, page_url=f"{ORIGIN}/{hour}") for hour in range(45)]
    add_rows(services, rows)
    count_all(app, services)
    seen: list[str] = []
    page = read(alice, contact_id)
    while link := re.search(r'hx-get="/contacts/[^"]*visits(\?cursor=[^"]+)"', page):
        seen += re.findall(rf'title="{ORIGIN}/(\d+)"', page)
        page = read(alice, contact_id, link[1])
        assert "<html" not in page
    seen += re.findall(rf'title="{ORIGIN}/(\d+)"', page)
    assert seen == [str(hour) for hour in range(45)]
    assert "That is where it began" in page


def test_a_reload_shows_what_is_new(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID
) -> None:
    visit(app, services, site, "b1", {}, {"kind": Kind.IDENTIFY, "name": ADA})
    assert "/newest" not in read(alice, contact_id)
    visit(app, services, site, "b1", {"page_url": f"{ORIGIN}/newest"})
    assert "/newest" in read(alice, contact_id)


def test_a_refused_link_is_told_to_both(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID
) -> None:
    other_id = add_contact(app, alice, "bob@example.com")
    names = [{"kind": Kind.IDENTIFY, "name": name} for name in (ADA, "bob@example.com")]
    visit(app, services, site, "b1", {"page_url": f"{ORIGIN}/hers"}, *names, {"page_url": f"{ORIGIN}/whose"})
    assert "/hers" in read(alice, contact_id)
    assert "/whose" not in read(alice, contact_id)
    assert "bob@example.com</strong> was named on a browser of this contact" in read(alice, contact_id, "/summary")
    told = read(alice, other_id, "/summary")
    assert f"This contact was named on a browser of <strong>{ADA}" in told
    listed = alice.client.get(f"/visits/refused-merges?site={site.id}").text
    assert "bob@example.com" in listed
    assert ADA in listed


def test_refused_links_are_listed_page_by_page(
    app: APIFlask, alice: Person, services: Settings, site: Site, charlie: Person
) -> None:
    names = [{"kind": Kind.IDENTIFY, "name": f"p{number}@example.com"} for number in range(62)]
    visit(app, services, site, "b1", *names)
    first = alice.client.get("/visits/refused-merges").text
    link = re.search(r'href="([^"]*cursor=[^"]*)"', first)
    assert link
    second = alice.client.get(html.unescape(link[1])).text
    found = [*re.findall(r'row"><a[^>]*>(p\d+)@', first), *re.findall(r'row"><a[^>]*>(p\d+)@', second)]
    assert found == [f"p{number}" for number in range(61, 0, -1)]
    assert "p5@example.com" not in charlie.client.get("/visits/refused-merges").text
    assert charlie.client.get(f"/visits/refused-merges?site={site.id}").status_code == 404
    assert alice.client.get("/visits/refused-merges?cursor=x").status_code == 400


def test_times_are_the_organisations(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID
) -> None:
    with owner_connection(services) as connection:
        connection.execute("UPDATE organisations SET time_zone = 'Asia/Kathmandu' WHERE slug = 'acme'")
    visit(app, services, site, ADA, {})
    assert "20 Nov 2026, 15:45" in read(alice, contact_id)


def test_charlie_sees_nobodys_visits(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID, charlie: Person
) -> None:
    visit(app, services, site, ADA, {"page_url": f"{ORIGIN}/secret"})
    own_id = add_contact(app, charlie, ADA)
    assert "/secret" in read(alice, contact_id)
    assert "/secret" not in read(charlie, own_id)
    for page in ("visits", "visits/summary"):
        assert charlie.client.get(f"/contacts/{contact_id}/{page}").status_code == 404
    assert alice.client.get(f"/contacts/{contact_id}/visits?cursor=x").status_code == 400


@pytest.mark.parametrize(
    ("page", "path"),
    [
        ("https://[x/basket", "/basket"),
        ("https://shop.example]/basket", "/basket"),
        ("https://exa\u2100mple.com", "/"),
        (f"{ORIGIN}/a?b=c", "/a?b=c"),
        (f"{ORIGIN}?b=c", "/?b=c"),
        (f"{ORIGIN}/#/orders", "/#/orders"),
    ],
)
def test_a_page_of_whatever_website_is_shown_by_its_path(
    app: APIFlask, alice: Person, services: Settings, site: Site, contact_id: UUID, page: str, path: str
) -> None:
    visit(app, services, site, "b1", {"page_url": page}, {"kind": Kind.IDENTIFY, "name": ADA})
    assert f">{path}</a>" in read(alice, contact_id)
