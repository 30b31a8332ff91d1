"""The products' API: prices and switches as JSON has them."""

from __future__ import annotations

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of

URL = "/api/v1/products"


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


@pytest.mark.parametrize(
    ("price", "shown"), [("12.50", "12.50"), (12.5, "12.50"), (11, "11.00"), ("1.234,5", "1234.50"), (None, None)]
)
def test_a_price_is_a_number_or_a_text(program: Program, price: object, shown: str | None) -> None:
    product = body_of(program.call("POST", URL, json={"sku": "CUP", "price": price}))
    assert product["price"] == shown


@pytest.mark.parametrize("price", [True, [1], {"a": 1}, "cheap", -1, 1e30, "1.23456", float("nan")])
def test_what_is_no_price_is_refused_by_name(program: Program, price: object) -> None:
    problem = assert_problem(
        program.call("POST", URL, json={"sku": "CUP", "price": price}), 422, "Unprocessable Entity"
    )
    assert [error["field"] for error in problem["errors"]] == ["price"]


@pytest.mark.parametrize(("given", "kept"), [(True, True), (False, False), ("no", False), ("yes", True), (None, True)])
def test_a_product_is_active_as_a_boolean(program: Program, given: object, kept: bool) -> None:
    product = body_of(program.call("POST", URL, json={"sku": "CUP", "is_active": given}))
    assert product["is_active"] is kept


def test_what_is_neither_yes_nor_no_is_refused_by_name(program: Program) -> None:
    answer = program.call("POST", URL, json={"sku": "CUP", "is_active": "perhaps"})
    assert [error["field"] for error in assert_problem(answer, 422, "Unprocessable Entity")["errors"]] == ["is_active"]


def test_a_product_without_a_picture_says_so(program: Program) -> None:
    product = body_of(program.call("POST", URL, json={"sku": "CUP"}))
    assert [product[name] for name in ("image_id", "image_url", "thumbnail_url")] == [None, None, None]
    assert body_of(program.call("GET", URL))["data"] == [product]
