"""A product's picture: found by a job, uploaded, replaced, removed, and found for many at once."""

from __future__ import annotations

import io
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import work_off
from tests.conftest import Person
from tests.jobs.support import run_waiting
from tests.pictures.support import pictures
from tests.pictures.unsplash_server import Unsplash, jpeg
from webapp.bulk_actions.models import Verb
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.selection import Selection
from webapp.bulk_actions.verbs.service import Order, start_verb
from webapp.extensions import db
from webapp.products.models import PRODUCTS, Product
from webapp.records.service import create_record


@pytest.fixture
def product(organisation: UUID) -> Product:
    made: Product = create_record(PRODUCTS, organisation, {"sku": "CUP-1", "name": "Espresso cup"})
    db.session.commit()
    return made


def reread(product: Product) -> Product:
    db.session.rollback()
    db.session.refresh(product)
    return product


def test_a_job_finds_a_picture_by_the_products_name(product: Product, alice: Person, unsplash: Unsplash) -> None:
    answer = alice.client.post(f"/products/{product.id}/picture/find", data={"query": ""})
    looking = alice.client.get(answer.location).text
    assert "Looking for a picture" in looking
    assert 'hx-trigger="every 2s"' in looking
    run_waiting()
    (picture,) = pictures()
    assert picture.search_word == "Espresso cup"
    assert reread(product).image_id == picture.id
    page = alice.client.get(answer.location).text
    assert f"/pictures/{picture.id}/thumbnail" in page
    assert "Annie Spratt" in page
    assert "every 2s" not in page
    assert f"/pictures/{picture.id}/thumbnail" in alice.client.get("/products").text


def test_a_picture_that_comes_late_replaces_none(product: Product, alice: Person) -> None:
    alice.client.post(f"/products/{product.id}/picture/find", data={"query": "cup"})
    upload(alice, product, jpeg())
    own = reread(product).image_id
    run_waiting()
    assert reread(product).image_id == own
    assert len(pictures()) == 2


def upload(person: Person, product: Product, content: bytes) -> str:
    data = {"file": (io.BytesIO(content), "cup.jpg")}
    answer = person.client.post(
        f"/products/{product.id}/picture", data=data, content_type="multipart/form-data", follow_redirects=True
    )
    assert answer.status_code == 200
    return str(answer.text)


def test_an_own_picture_is_kept_and_removed(product: Product, alice: Person) -> None:
    assert "The picture is saved." in upload(alice, product, jpeg())
    (picture,) = pictures()
    assert (picture.source, picture.created_by) == ("upload", alice.user_id)
    assert alice.client.get(f"/pictures/{picture.id}/thumbnail").status_code == 200
    assert "A picture of your own" in alice.client.get(f"/pictures/{picture.id}").text
    alice.client.post(f"/products/{product.id}/picture/remove")
    assert reread(product).image_id is None


@pytest.mark.parametrize("content", [b"", b"no picture", b"<svg/>"])
def test_what_is_no_picture_changes_nothing(product: Product, alice: Person, content: bytes) -> None:
    assert "Choose a JPEG, PNG or WebP file." in upload(alice, product, content)
    assert reread(product).image_id is None
    assert pictures() == []


def test_pictures_are_found_for_all_products_without_one(
    app: APIFlask, organisation: UUID, product: Product, alice: Person
) -> None:
    upload(alice, product, jpeg())
    for number in range(3):
        create_record(PRODUCTS, organisation, {"sku": f"MUG-{number}", "name": f"Mug {number}"})
    order = Order(Verb.FIND_PICTURES, PRODUCTS, Selection(arguments={}))
    bulk_action = start_verb(organisation, alice.user_id, order, most_per_hour=9)
    db.session.commit()
    send_work()
    work_off(app)
    db.session.rollback()
    db.session.refresh(bulk_action)
    assert (bulk_action.succeeded_count, bulk_action.skipped_count) == (3, 1)
    report = alice.client.get(bulk_action.path).text
    assert "3 searches begun, 1 had a picture." in report
    assert 'href="/jobs?kind=find_product_picture"' in report
    for _ in range(2):  # two of them at a time
        run_waiting()
    assert len(pictures()) == 4
    assert all(one.image_id for one in db.session.query(Product))


def test_charlie_touches_no_picture_of_another_organisation(product: Product, charlie: Person) -> None:
    for path in ("picture", "picture/find", "picture/remove"):
        data = {"file": (io.BytesIO(jpeg()), "cup.jpg"), "query": "x"}
        assert charlie.client.post(f"/products/{product.id}/{path}", data=data).status_code == 404
