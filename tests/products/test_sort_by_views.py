"""Products sorted and filtered by their views: page by page, with ties, strangers' SKUs and products without any."""

from __future__ import annotations

import random
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.contacts.test_api import body_of, program_of
from tests.records.support import add_record
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.products.models import PRODUCTS, Product
from webapp.records import beside_walk, search
from webapp.records.filters import read_filter
from webapp.records.queries import list_records, matching_ids

COUNT = 60


def set_views(settings: Settings, person: Person, views: dict[str, int]) -> None:
    """Totals as the roll-up keeps them."""
    with owner_connection(settings) as connection:
        for sku, count in views.items():
            connection.execute(
                "INSERT INTO product_view_totals (organisation_id, sku_key, sku, view_count) VALUES (%s, %s, %s, %s)",
                [person.organisation_id, sku.lower(), sku, count],
            )


@pytest.fixture
def views(app: APIFlask, alice: Person, charlie: Person, services: Settings) -> dict[str, int]:
    """Of some of alice's products, many alike; with SKUs that are none of hers, and another organisation's."""
    chance = random.Random(7)
    with app.app_context(), tenant(alice.organisation_id):
        for number in range(COUNT):
            sku = f"SKU-{number:03}"
            tags = ["even"] if number % 2 == 0 else []
            db.session.add(
                Product(organisation_id=alice.organisation_id, sku=sku, sku_key=sku.lower(), name=sku, tags=tags)
            )
        db.session.commit()
    views = {f"sku-{number:03}": chance.choice([1, 1, 1, 5, 90]) for number in chance.sample(range(COUNT), 35)}
    strangers = {f"zzz-{number}": chance.choice([1, 5, 7, 1000]) for number in range(30)}
    set_views(services, alice, views | strangers)
    set_views(services, charlie, {"sku-000": 77})
    return views


def all_keys(app: APIFlask, person: Person, direction: str, limit: int, **filters: Any) -> list[str]:
    """Every page, one after the other."""
    keys: list[str] = []
    cursor = None
    while True:
        with app.app_context(), tenant(person.organisation_id):
            wanted = read_filter(filters, PRODUCTS, UTC)
            page = list_records(
                PRODUCTS, person.organisation_id, wanted, sort="views", direction=direction, cursor=cursor, limit=limit
            )
            keys += [record.sku_key for record in page.records]
        assert len(page.records) == limit or page.is_partial or page.next_cursor is None
        if page.next_cursor is None:
            return keys
        cursor = page.next_cursor


def expected_keys(views: dict[str, int], direction: str) -> list[str]:
    keys = [f"sku-{number:03}" for number in range(COUNT)]
    return sorted(keys, key=lambda key: (views.get(key, 0), key), reverse=direction == "desc")


@pytest.mark.parametrize("direction", ["desc", "asc"])
@pytest.mark.parametrize("limit", [7, 60])
@pytest.mark.parametrize("steps", [3, 2_000])
def test_pages_hold_every_product_once_in_the_order_of_views(
    app: APIFlask,
    alice: Person,
    views: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
    limit: int,
    steps: int,
) -> None:
    monkeypatch.setattr(beside_walk, "FIRST_STEPS", steps)
    monkeypatch.setattr(beside_walk, "STEPS", steps)
    assert all_keys(app, alice, direction, limit) == expected_keys(views, direction)


@pytest.mark.parametrize(("direction", "small_set"), [("desc", 0), ("asc", 0), ("desc", 2_000)])
@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("views:at_least:5", lambda count: count >= 5),
        ("views:at_least:0", lambda count: True),
        ("views:at_least:91", lambda count: False),
        ("views:below:5", lambda count: count < 5),
        ("views:below:0", lambda count: False),
        ("views:is:0", lambda count: count == 0),
        ("views:is:1", lambda count: count == 1),
    ],
)
def test_a_filter_by_views_lets_those_pass_that_it_names(
    app: APIFlask,
    alice: Person,
    views: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
    small_set: int,
    condition: str,
    passes: Any,
) -> None:
    monkeypatch.setattr(search, "SMALL_SET", small_set)
    monkeypatch.setattr(beside_walk, "STEPS", 9)
    monkeypatch.setattr(beside_walk, "FIRST_STEPS", 4)
    wanted = [key for key in expected_keys(views, direction) if passes(views.get(key, 0))]
    assert all_keys(app, alice, direction, 4, where=[condition]) == wanted
    even = [key for key in wanted if int(key[-3:]) % 2 == 0]
    assert all_keys(app, alice, direction, 4, where=[condition], tag=["even"]) == even
    with app.app_context(), tenant(alice.organisation_id):  # what a bulk action over all that match takes
        matching = read_filter({"where": [condition]}, PRODUCTS, UTC)
        ids = db.session.scalars(matching_ids(PRODUCTS, alice.organisation_id, matching, utc_now())).all()
        assert len(ids) == len(wanted)


def test_a_product_takes_the_views_of_its_present_sku(app: APIFlask, alice: Person, services: Settings) -> None:
    product_id = add_record(app, alice, PRODUCTS, "old")
    set_views(services, alice, {"OLD": 3, "NEW": 8})
    assert "8</td>" not in alice.client.get("/products?sort=views").text
    with app.app_context(), tenant(alice.organisation_id):
        product = db.session.get_one(Product, (alice.organisation_id, product_id))
        product.sku, product.sku_key = "NEW", "new"
        db.session.commit()
    assert "8</td>" in alice.client.get("/products?sort=views").text


def test_the_list_shows_sorts_and_filters_by_views(alice: Person, views: dict[str, int]) -> None:
    page = alice.client.get("/products?" + urlencode({"sort": "views", "where": "views:at_least:90"}))
    assert page.status_code == 200
    assert "Views (30 days) is at least “90”" in page.text
    assert 'aria-sort="descending"' in page.text
    assert page.text.count(">90</td>") == sum(count == 90 for count in views.values())
    refused = alice.client.get("/products?where=views:at_least:many")
    assert refused.status_code == 422
    assert "whole number" in refused.text


def test_a_damaged_cursor_is_refused(alice: Person, views: dict[str, int]) -> None:
    for cursor in ("nonsense", "WyJ4IiwiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiXQ"):
        assert alice.client.get(f"/products?sort=views&cursor={cursor}").status_code == 400


def test_the_api_shows_sorts_and_filters_by_views(
    app: APIFlask, alice: Person, views: dict[str, int], services: Settings
) -> None:
    program = program_of(app, alice.organisation_id)
    shown = body_of(program.call("GET", "/api/v1/products?sort=-views&limit=500"))["data"]
    assert [one["views"] for one in shown] == [views.get(key, 0) for key in expected_keys(views, "desc")]
    found = body_of(program.call("GET", "/api/v1/products?sort=views&where=views:is:5&columns=views"))["data"]
    assert [one["views"] for one in found] == [5] * list(views.values()).count(5)
    assert set(found[0]) == {"id", "views"}
    one = body_of(program.call("GET", f"/api/v1/products/{shown[0]['id']}"))
    assert one["views"] == 90
