"""A product's views on its page and over the API, and viewed SKUs that are no product until they are one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import import_file
from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of
from tests.records.support import add_record
from tests.visits.counting.test_product_views import count_rows
from tests.visits.support import ORIGIN, add_site, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.products import unknown_skus
from webapp.products.models import PRODUCTS
from webapp.records.queries import get_record
from webapp.records.service import delete_record, restore_record
from webapp.visits.backlog import Kind, Row
from webapp.visits.models import Site

HTMX = {"HX-Request": "true"}
URL = "/api/v1/products"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


def make_views(site: Site, sku: str, days_ago: int, count: int, page: str = "/cups/1") -> list[Row]:
    at = utc_now() - timedelta(days=days_ago)
    return [
        make_row(site, at, kind=int(Kind.PRODUCT), name=sku, visitor=f"visitor-{n % 3}", page_url=f"{ORIGIN}{page}")
        for n in range(count)
    ]


def unknown_skus_of(program: Program, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body_of(program.call("GET", f"{URL}/unknown-skus", query_string=query))["data"]
    return found


def test_a_products_page_shows_views_their_change_and_each_site(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    other = add_site(app, alice.organisation_id, "https://outlet.example", "Pacific/Auckland")
    product_id = add_record(app, alice, PRODUCTS, "cup")
    rows = [*make_views(site, "CUP", 2, 6), *make_views(other, "cup", 3, 3), *make_views(site, "Cup", 40, 6)]
    count_rows(app, services, [*rows, *make_views(site, "POT", 1, 50)])
    page = alice.client.get(f"/products/{product_id}?days=30").text
    assert "<dd>9 " in page
    assert "50%" in page
    assert "data-chart" in page
    part = alice.client.get(f"/products/{product_id}/views?days=365&site={other.id}", headers=HTMX).text
    assert "<html" not in part
    assert part.count('aria-current="true"') == 2
    where = alice.client.get("/products/viewed-pages?sku=cup", headers=HTMX).text
    assert f"{ORIGIN}/cups/1" in where
    assert "6 visitors" in where  # three on each site


def test_the_api_tells_a_products_views(
    app: APIFlask, alice: Person, charlie: Person, services: Settings, site: Site, program: Program
) -> None:
    other = add_site(app, alice.organisation_id, "https://outlet.example")
    product_id = add_record(app, alice, PRODUCTS, "cup")
    rows = [*make_views(site, "CUP", 2, 6), *make_views(other, "cup", 3, 3, "/sale"), *make_views(site, "CUP", 40, 6)]
    count_rows(app, services, rows)
    told = body_of(program.call("GET", f"{URL}/{product_id}/views?days=90"))
    assert (told["view_count"], told["previous_view_count"], told["change"]) == (9, 6, 0.5)
    assert {one["site_id"]: one["view_count"] for one in told["sites"]} == {str(site.id): 6, str(other.id): 3}
    assert (len(told["days"]), sum(one["view_count"] for one in told["days"])) == (90, 15)
    assert told["visitor_count"] == 6
    assert [(one["page"], one["view_count"]) for one in told["pages"]] == [
        (f"{ORIGIN}/cups/1", 6),
        (f"{ORIGIN}/sale", 3),
    ]
    of_one = body_of(program.call("GET", f"{URL}/{product_id}/views?days=30&site_id={other.id}"))
    assert sum(one["view_count"] for one in of_one["days"]) == 3
    assert program.call("GET", f"{URL}/{product_id}/views?days=31").status_code == 422
    assert program.call("GET", f"{URL}/{product_id}/views?site_id={product_id}").status_code == 404
    stranger = program_of(app, charlie.organisation_id)
    assert_problem(stranger.call("GET", f"{URL}/{product_id}/views"), 404, "Product not found")


def test_without_any_views_the_page_says_how_to_send_them(app: APIFlask, alice: Person) -> None:
    product_id = add_record(app, alice, PRODUCTS, "cup")
    assert "footfall.product(" in alice.client.get(f"/products/{product_id}").text
    assert "footfall.product(" in alice.client.get("/products/unknown").text


def test_viewed_skus_without_a_product_are_listed_until_there_is_one(
    app: APIFlask, alice: Person, charlie: Person, services: Settings, site: Site, program: Program
) -> None:
    add_record(app, alice, PRODUCTS, "pot")
    foreign = add_site(app, charlie.organisation_id)
    rows = [*make_views(site, "CUP-1", 3, 4), *make_views(site, "cup-1", 5, 1), *make_views(site, "LID <1>", 1, 9)]
    count_rows(app, services, [*rows, *make_views(site, "Pot", 1, 2), *make_views(foreign, "SECRET", 1, 3)])
    listed = unknown_skus_of(program)
    assert [(one["sku"], one["view_count"]) for one in listed] == [("LID <1>", 9), ("CUP-1", 5)]
    assert listed[1]["last_viewed_on"] == (utc_now() - timedelta(days=3)).date().isoformat()
    assert listed[1]["sites"] == [{"site_id": str(site.id), "name": "Shop", "view_count": 5}]
    assert [one["page"] for one in listed[1]["pages"]] == [f"{ORIGIN}/cups/1"]
    page = alice.client.get("/products/unknown").text
    assert "LID &lt;1&gt;" in page
    assert "SECRET" not in page
    assert "(2)" in alice.client.get("/products/unknown/count", headers=HTMX).text
    assert f"{ORIGIN}/cups/1" in alice.client.get("/products/unknown?details=1", headers=HTMX).text
    assert 'value="CUP-1"' in alice.client.get("/products/new?sku=CUP-1").text
    body_of(program.call("POST", URL, json={"sku": "cup-1", "name": "Espresso cup"}))
    assert [one["sku"] for one in unknown_skus_of(program)] == ["LID <1>"]
    shown = body_of(program.call("GET", f"{URL}?sort=-views"))["data"]
    assert [(one["sku"], one["views"]) for one in shown] == [("cup-1", 5), ("POT", 2)]
    gone = alice.client.get("/products/unknown/sku?sku=CUP-1")
    assert gone.status_code == 303
    assert alice.client.get(gone.location).status_code == 200
    assert alice.client.get("/products/unknown/sku?sku=SECRET").status_code == 404


def test_an_import_takes_its_skus_off_the_list(
    app: APIFlask, alice: Person, services: Settings, site: Site, program: Program
) -> None:
    count_rows(app, services, [*make_views(site, "CUP-1", 3, 4), *make_views(site, "CUP-2", 3, 2)])
    import_file(app, alice.organisation_id, b"sku,name\nCUP-1,Cup\n", entity="products")
    assert [one["sku"] for one in unknown_skus_of(program)] == ["CUP-2"]


def test_a_deleted_products_sku_is_listed_and_says_so(
    app: APIFlask, alice: Person, services: Settings, site: Site, program: Program
) -> None:
    product_id = add_record(app, alice, PRODUCTS, "cup")
    count_rows(app, services, make_views(site, "CUP", 3, 4))
    assert unknown_skus_of(program) == []
    with app.app_context(), tenant(alice.organisation_id):
        delete_record(PRODUCTS, get_record(PRODUCTS, alice.organisation_id, product_id), alice.user_id)
        db.session.commit()
    assert [one["deleted_product_id"] for one in unknown_skus_of(program)] == [str(product_id)]
    assert "Deleted" in alice.client.get("/products/unknown?details=1", headers=HTMX).text
    assert "was deleted" in alice.client.get("/products/unknown/sku?sku=cup").text
    with app.app_context(), tenant(alice.organisation_id):
        restore_record(PRODUCTS, alice.organisation_id, product_id)
        db.session.commit()
    assert unknown_skus_of(program) == []
    assert body_of(program.call("GET", f"{URL}/{product_id}"))["views"] == 4


@pytest.mark.parametrize("steps", [1, 3, 20_000])
def test_pages_of_unknown_skus_hold_each_once(
    app: APIFlask,
    alice: Person,
    services: Settings,
    site: Site,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    monkeypatch.setattr(unknown_skus, "STEPS", steps)
    rows = [row for number in range(9) for row in make_views(site, f"S{number}", 1, 1 + number % 3)]
    count_rows(app, services, rows)
    for known in ("s0", "s5", "s8"):
        add_record(app, alice, PRODUCTS, known)
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = body_of(program.call("GET", f"{URL}/unknown-skus", query_string=query))
        found += [one["sku"] for one in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert found == ["S2", "S7", "S4", "S1", "S6", "S3"]
