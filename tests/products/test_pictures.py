"""A product's picture: found by a job, uploaded, replaced, removed, and found for many at once."""

from __future__ import annotations

import io
import re
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import work_off
from tests.conftest import Person
from tests.jobs.support import run_waiting
from tests.pictures.conftest import Configure
from tests.pictures.support import pictures
from tests.pictures.unsplash_server import JSON, RANDOM, Answer, Unsplash, jpeg
from tests.records.support import add_record
from webapp.bulk_actions.models import Verb
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.selection import Selection
from webapp.bulk_actions.verbs.service import Order, start_verb
from webapp.extensions import db
from webapp.incoming import MAX_BODY_BYTES
from webapp.jobs.models import Job
from webapp.lib.ids import uuid7
from webapp.products import picture_views
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
    assert "hx-sse:connect" in looking
    run_waiting()
    (picture,) = pictures()
    assert picture.search_word == "Espresso cup"
    assert reread(product).image_id == picture.id
    page = alice.client.get(answer.location).text
    assert f"/pictures/{picture.id}/image" in page
    assert "Annie Spratt" in page
    assert "hx-sse:connect" not in page
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


def test_products_with_and_without_a_picture_are_found(product: Product, alice: Person, organisation: UUID) -> None:
    create_record(PRODUCTS, organisation, {"sku": "MUG-1", "name": "Mug"})
    db.session.commit()
    upload(alice, product, jpeg())
    without, having = (alice.client.get(f"/products?where=image_id:{way}:").text for way in ("blank", "filled"))
    assert "Picture is blank" in without
    assert 'data-operators="blank filled">Picture<' in without
    assert ("MUG-1" in without, product.sku in without) == (True, False)
    assert ("MUG-1" in having, product.sku in having) == (False, True)
    answer = alice.client.get("/products?where=image_id:is:5")
    assert answer.status_code == 422
    assert "“Picture” cannot be compared by “is”." in answer.text


def undo_of(person: Person, product: Product) -> dict[str, str]:
    """What the "Undo" button on the product's page would post."""
    found = re.search(r'name="undo" value="([^"]+)"', person.client.get(f"/products/{product.id}").text)
    assert found is not None
    return {"undo": found[1]}


def test_a_removed_picture_comes_back(product: Product, alice: Person) -> None:
    upload(alice, product, jpeg())
    (picture,) = pictures()
    alice.client.post(f"/products/{product.id}/picture/remove")
    alice.client.post(f"/products/{product.id}/picture/restore", data=undo_of(alice, product))
    assert reread(product).image_id == picture.id
    assert "The picture is back." in alice.client.get(f"/products/{product.id}").text


def test_a_replaced_picture_comes_back(product: Product, alice: Person) -> None:
    upload(alice, product, jpeg())
    first = reread(product).image_id
    data = {"file": (io.BytesIO(jpeg()), "cup.jpg")}
    alice.client.post(f"/products/{product.id}/picture", data=data)
    assert reread(product).image_id != first
    alice.client.post(f"/products/{product.id}/picture/restore", data=undo_of(alice, product))
    assert reread(product).image_id == first


def test_what_is_no_kept_picture_does_not_come_back(product: Product, alice: Person) -> None:
    url = f"/products/{product.id}/picture/restore"
    assert alice.client.post(url, data={"undo": "seven"}).status_code == 400
    assert alice.client.post(url, data={"undo": str(uuid7())}).status_code == 404


def test_another_found_one_takes_the_place_of_the_one_before(product: Product, alice: Person) -> None:
    upload(alice, product, jpeg())
    own = reread(product).image_id
    answer = alice.client.post(f"/products/{product.id}/picture/find", data={"query": "cup"})
    assert reread(product).image_id == own
    run_waiting()
    assert reread(product).image_id == pictures()[-1].id != own
    assert "Annie Spratt" in alice.client.get(answer.location).text


def test_the_search_that_goes_on_is_shown_to_whoever_looks(product: Product, alice: Person, bob: Person) -> None:
    alice.client.post(f"/products/{product.id}/picture/find", data={"query": "red cup"})
    page = bob.client.get(f"/products/{product.id}").text
    assert "Looking for a picture" in page
    assert "Picture of “red cup”" in page
    run_waiting()
    assert "Looking for a picture" not in bob.client.get(f"/products/{product.id}").text


def test_a_search_that_found_nothing_says_why(product: Product, alice: Person, unsplash: Unsplash) -> None:
    unsplash.next_answers[RANDOM] = [Answer(404, JSON, b'{"errors": ["No photos found."]}')]
    answer = alice.client.post(f"/products/{product.id}/picture/find", data={"query": "qwertz"})
    run_waiting()
    page = alice.client.get(answer.location).text
    assert "No picture was found" in page
    assert 'name="query" value="qwertz"' in page
    assert "No picture was found" not in alice.client.get(f"/products/{product.id}").text


def test_a_search_of_another_product_is_not_shown(product: Product, alice: Person, organisation: UUID) -> None:
    other = create_record(PRODUCTS, organisation, {"sku": "MUG-1"})
    db.session.commit()
    answer = alice.client.post(f"/products/{product.id}/picture/find", data={"query": "cup"})
    job_id = answer.location.rpartition("=")[2]
    for job in (job_id, "seven"):
        assert "Looking for a picture" not in alice.client.get(f"/products/{other.id}?job={job}").text


def test_htmx_gets_the_picture_alone(product: Product, alice: Person) -> None:
    part = alice.client.get(f"/products/{product.id}", headers={"HX-Request": "true"}).text
    assert "No picture yet" in part
    assert "<html" not in part
    assert "<dt>SKU</dt>" not in part


def test_without_a_key_the_page_says_so_and_nothing_is_looked_for(
    product: Product, alice: Person, configure: Configure
) -> None:
    configure(unsplash_access_key="")
    page = alice.client.get(f"/products/{product.id}").text
    assert "UNSPLASH_ACCESS_KEY" in page
    assert "/picture/find" not in page
    answer = alice.client.post(f"/products/{product.id}/picture/find", follow_redirects=True)
    assert "UNSPLASH_ACCESS_KEY" in answer.text
    assert db.session.query(Job).count() == 0


def test_a_search_word_that_is_too_long_is_refused(product: Product, alice: Person) -> None:
    url = f"/products/{product.id}/picture/find"
    answer = alice.client.post(url, data={"query": "x" * 101}, follow_redirects=True)
    assert "What to look for:" in answer.text
    assert db.session.query(Job).count() == 0


def test_a_picture_that_is_too_large_is_refused_before_it_is_read(
    product: Product, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_views, "MAX_PICTURE_BYTES", -picture_views.FORM_OVERHEAD_BYTES + 500)
    assert "A picture may have up to 20 MB." in upload(alice, product, jpeg())
    assert (reread(product).image_id, pictures()) == (None, [])


def test_a_picture_larger_than_other_forms_is_taken(product: Product, alice: Person) -> None:
    padded = jpeg() + bytes(MAX_BODY_BYTES)  # decoders stop at the picture's end
    assert "The picture is saved." in upload(alice, product, padded)


def test_a_form_of_another_site_sends_no_picture(app: APIFlask, product: Product, alice: Person) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        data = {"file": (io.BytesIO(jpeg()), "cup.jpg")}
        refused = alice.client.post(f"/products/{product.id}/picture", data=data)
        token = re.search(r'name="csrf_token" value="([^"]+)"', alice.client.get(f"/products/{product.id}").text)
        assert token
        again = {"file": (io.BytesIO(jpeg()), "cup.jpg"), "csrf_token": token[1]}
        taken = alice.client.post(f"/products/{product.id}/picture", data=again)
    finally:
        app.config["WTF_CSRF_ENABLED"] = False
    assert (refused.status_code, taken.status_code) == (400, 303)
    assert "This page is out of date" in refused.text
    assert len(pictures()) == 1


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
    for path in ("picture", "picture/find", "picture/remove", "picture/restore"):
        data = {"file": (io.BytesIO(jpeg()), "cup.jpg"), "query": "x", "undo": str(uuid7())}
        assert charlie.client.post(f"/products/{product.id}/{path}", data=data).status_code == 404


def test_charlie_shows_no_picture_of_another_organisation(
    app: APIFlask, product: Product, alice: Person, charlie: Person
) -> None:
    upload(alice, product, jpeg())
    (picture,) = pictures()
    charlies = add_record(app, charlie, PRODUCTS)
    answer = charlie.client.post(f"/products/{charlies}/picture/restore", data={"undo": str(picture.id)})
    assert answer.status_code == 404
    assert f"/pictures/{picture.id}" not in charlie.client.get(f"/products/{charlies}").text
