"""A product's picture over the API: found, sent, chosen among those that are kept, and taken away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of
from tests.jobs.support import run_waiting
from tests.pictures.conftest import Configure
from tests.pictures.support import pictures, search, stored_files
from tests.pictures.unsplash_server import jpeg
from webapp.lib.ids import uuid7
from webapp.products import picture_api


@pytest.fixture
def program(app: APIFlask, organisation: UUID) -> Program:
    return program_of(app, organisation)


@pytest.fixture
def url(program: Program) -> str:
    """Of a product without a picture."""
    product = body_of(program.call("POST", "/api/v1/products", json={"sku": "CUP-1", "name": "Espresso cup"}))
    return f"/api/v1/products/{product['id']}"


def image_id(program: Program, url: str) -> object:
    return body_of(program.call("GET", url))["image_id"]


def send(program: Program, url: str, content: bytes | None = None) -> str:
    answer = program.call("PUT", f"{url}/picture", data=content or jpeg(), content_type="image/jpeg")
    assert answer.status_code == 200, answer.text
    return str(body_of(answer)["image_id"])


def test_a_job_finds_a_picture_by_the_products_name(program: Program, url: str) -> None:
    answer = program.call("POST", f"{url}/picture", json={})
    job = body_of(answer)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1/jobs/{job['id']}")
    run_waiting()
    product = body_of(program.call("GET", url))
    picture = body_of(program.call("GET", f"/api/v1/pictures/{product['image_id']}"))
    assert (picture["search_word"], picture["credit"]["source_name"]) == ("Espresso cup", "Unsplash")
    for name in ("image_url", "thumbnail_url"):
        assert program.call("GET", product[name]).status_code == 200


def test_another_found_one_comes_in_the_place_of_the_one_before(program: Program, url: str) -> None:
    before = send(program, url)
    program.call("POST", f"{url}/picture", json={"query": "cup"})
    assert image_id(program, url) == before
    run_waiting()
    assert image_id(program, url) == str(pictures()[-1].id) != before


def test_a_search_that_is_not_set_up_is_a_conflict(program: Program, url: str, configure: Configure) -> None:
    configure(unsplash_access_key="")
    answer = program.call("POST", f"{url}/picture", json={"query": "cup"})
    assert "UNSPLASH_ACCESS_KEY" in assert_problem(answer, 409, "This kind of job is not set up")["detail"]


def test_a_search_word_that_is_too_long_is_refused_by_name(program: Program, url: str) -> None:
    answer = program.call("POST", f"{url}/picture", json={"query": "x" * 101})
    assert [error["field"] for error in assert_problem(answer, 422, "Unprocessable Entity")["errors"]] == ["query"]


def test_a_sent_picture_is_shown_and_needs_no_credit(program: Program, url: str) -> None:
    picture = body_of(program.call("GET", f"/api/v1/pictures/{send(program, url)}"))
    assert (picture["credit"], picture["job_id"], picture["search_word"]) == (None, None, "Espresso cup")


@pytest.mark.parametrize("content", [b"no picture", b"<svg/>", jpeg()[:200]])
def test_what_is_no_picture_is_refused(program: Program, url: str, content: bytes) -> None:
    answer = program.call("PUT", f"{url}/picture", data=content, content_type="image/jpeg")
    assert "Choose a JPEG, PNG or WebP file." in assert_problem(answer, 422, "Not a picture")["detail"]
    assert (image_id(program, url), pictures()) == (None, [])


def test_nothing_sent_is_no_picture(program: Program, url: str) -> None:
    assert_problem(program.call("PUT", f"{url}/picture"), 422, "Not a picture")


def test_too_much_is_refused_before_it_is_read(program: Program, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_api, "MAX_PICTURE_BYTES", 100)
    answer = program.call("PUT", f"{url}/picture", data=jpeg(), content_type="image/jpeg")
    assert_problem(answer, 413, "The picture is too large")
    assert image_id(program, url) is None


def test_a_kept_picture_is_shown_again(program: Program, url: str) -> None:
    first, second = send(program, url), send(program, url)
    assert first != second
    answer = program.call("PUT", f"{url}/picture/{first}")
    assert body_of(answer)["image_id"] == first == image_id(program, url)


def test_a_picture_that_any_job_found_is_shown(program: Program, url: str, organisation: UUID) -> None:
    job = search(organisation)
    (picture,) = pictures()
    assert picture.job_id == job.id
    assert body_of(program.call("PUT", f"{url}/picture/{picture.id}"))["image_id"] == str(picture.id)


def test_a_picture_that_is_not_there_is_not_shown(program: Program, url: str) -> None:
    assert_problem(program.call("PUT", f"{url}/picture/{uuid7()}"), 404, "Picture not found")
    assert image_id(program, url) is None


def test_a_picture_is_taken_away(program: Program, url: str) -> None:
    send(program, url)
    for _ in range(2):  # a second time changes nothing
        assert program.call("DELETE", f"{url}/picture").status_code == 204
    assert image_id(program, url) is None
    assert len(pictures()) == 1


def test_a_change_of_the_product_leaves_its_picture(program: Program, url: str) -> None:
    shown = send(program, url)
    assert body_of(program.call("PATCH", url, json={"name": "Mug"}))["image_id"] == shown


def test_charlies_programs_touch_no_picture_of_another_organisation(
    app: APIFlask, program: Program, url: str, charlie: Person
) -> None:
    shown = send(program, url)
    stranger = program_of(app, charlie.organisation_id)
    own = body_of(stranger.call("POST", "/api/v1/products", json={"sku": "CUP-1"}))
    files = set(stored_files())
    for method, path in (("POST", ""), ("PUT", ""), ("PUT", f"/{shown}"), ("DELETE", "")):
        body: dict[str, Any] = {"json": {}}
        if (method, path) == ("PUT", ""):
            body = {"data": jpeg(), "content_type": "image/jpeg"}
        answer = stranger.call(method, f"{url}/picture{path}", **body)
        assert_problem(answer, 404, "Product not found")
    answer = stranger.call("PUT", f"/api/v1/products/{own['id']}/picture/{shown}")
    assert_problem(answer, 404, "Picture not found")
    assert image_id(program, url) == shown
    assert set(stored_files()) == files
