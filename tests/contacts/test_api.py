"""The contacts' API, called as a program calls it."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from tests.conftest import Person, owner_connection
from webapp.accounts import service
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.ids import uuid7

URL = "/api/v1/contacts"


@dataclass(frozen=True)
class Program:
    """Somebody's program, with an API key."""

    app: APIFlask
    secret: str

    def call(self, method: str, url: str = URL, **kwargs: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.secret}"}
        return self.app.test_client().open(url, method=method, headers=headers, **kwargs)

    def create(self, email: str, **values: str | None) -> dict[str, Any]:
        answer = self.call("POST", json={"email": email, **values})
        assert answer.status_code == 201, answer.text
        return body_of(answer)

    def emails(self, **query: str) -> list[str]:
        return [contact["email"] for contact in body_of(self.call("GET", query_string=query))["data"]]


def body_of(answer: TestResponse) -> dict[str, Any]:
    assert isinstance(answer.json, dict), answer.text
    return answer.json


def program_of(app: APIFlask, organisation_id: UUID) -> Program:
    with app.app_context():
        _, secret = service.create_api_key(organisation_id, "program")
        db.session.commit()
    return Program(app, secret)


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


@pytest.fixture
def charlies_program(app: APIFlask, charlie: Person) -> Program:
    return program_of(app, charlie.organisation_id)


def assert_problem(answer: TestResponse, status: int, title: str) -> dict[str, Any]:
    problem = body_of(answer)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert problem["title"] == title
    return problem


def test_a_contact_is_created_and_read_where_the_answer_points(program: Program) -> None:
    answer = program.call("POST", json={"email": " Bob@Example.com ", "first_name": "Bob", "company": None})
    assert answer.status_code == 201
    created = body_of(answer)
    assert created["email"] == "Bob@Example.com"
    assert created["first_name"] == "Bob"
    assert created["company"] is None
    assert created["created_at"].endswith("Z")
    assert body_of(program.call("GET", answer.headers["Location"])) == created


def test_the_same_address_in_another_case_is_a_conflict_that_names_the_contact(program: Program) -> None:
    first = program.create("bob@example.com")
    problem = assert_problem(program.call("POST", json={"email": "BOB@example.com"}), 409, "Contact exists")
    assert problem["contact_id"] == first["id"]
    assert problem["contact_url"] == f"{URL}/{first['id']}"
    assert "bob@example.com" in problem["detail"]


def test_of_many_who_create_the_same_contact_at_once_one_succeeds(program: Program) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: program.call("POST", json={"email": "bob@example.com"}), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": None}, "email"),
        ({"email": ""}, "email"),
        ({"email": "bob"}, "email"),
        ({"email": 7}, "email"),
        ({"email": "a@b.example", "shoe_size": "44"}, "shoe_size"),
        ({"email": "a@b.example", "city": "x" * 201}, "city"),
        ({"email": "a@b.example", "city": "nul\x00"}, "city"),
        ({"email": "a@b.example", "city": ["Ulm"]}, "city"),
        ({"email": "a@b.example", "id": "7"}, "id"),
        ([], ""),
    ],
)
def test_values_that_cannot_be_kept_are_named(program: Program, body: object, field: str) -> None:
    problem = assert_problem(program.call("POST", json=body), 422, "Unprocessable Entity")
    assert field in [error["field"] for error in problem["errors"]]
    assert program.emails() == []


def test_half_of_a_surrogate_pair_is_refused(program: Program) -> None:
    body = b'{"email": "a@b.example", "city": "\\ud800"}'
    answer = program.call("POST", data=body, content_type="application/json")
    assert_problem(answer, 422, "Unprocessable Entity")


def test_a_change_leaves_other_fields_alone(program: Program) -> None:
    contact = program.create("bob@example.com", first_name="Bob", city="Ulm")
    answer = program.call("PATCH", f"{URL}/{contact['id']}", json={"city": None, "last_name": "Baker"})
    changed = body_of(answer)
    assert answer.status_code == 200
    assert (changed["first_name"], changed["last_name"], changed["city"]) == ("Bob", "Baker", None)
    assert changed["updated_at"] > contact["updated_at"]


def test_a_change_cannot_take_anothers_address(program: Program) -> None:
    alice, bob = program.create("alice@example.com"), program.create("bob@example.com")
    answer = program.call("PATCH", f"{URL}/{bob['id']}", json={"email": "ALICE@example.com"})
    assert assert_problem(answer, 409, "Contact exists")["contact_id"] == alice["id"]


@pytest.mark.parametrize("body", [{"email": None}, {"email": "bob"}, {"shoe_size": "44"}, {"created_at": "now"}])
def test_a_change_that_cannot_be_kept_changes_nothing(program: Program, body: dict[str, object]) -> None:
    contact = program.create("bob@example.com", city="Ulm")
    answer = program.call("PATCH", f"{URL}/{contact['id']}", json={"city": "Bonn", **body})
    assert_problem(answer, 422, "Unprocessable Entity")
    assert body_of(program.call("GET", f"{URL}/{contact['id']}")) == contact


def test_a_deleted_contact_is_gone(program: Program) -> None:
    url = f"{URL}/{program.create('bob@example.com')['id']}"
    answer = program.call("DELETE", url)
    assert (answer.status_code, answer.data) == (204, b"")
    for method in ("GET", "DELETE"):
        assert_problem(program.call(method, url), 404, "Contact not found")
    assert_problem(program.call("PATCH", url, json={}), 404, "Contact not found")


def test_another_organisation_sees_and_touches_nothing(program: Program, charlies_program: Program) -> None:
    contact = program.create("bob@example.com")
    url = f"{URL}/{contact['id']}"
    assert charlies_program.emails() == []
    assert_problem(charlies_program.call("GET", url), 404, "Contact not found")
    assert_problem(charlies_program.call("PATCH", url, json={"city": "Ulm"}), 404, "Contact not found")
    assert_problem(charlies_program.call("DELETE", url), 404, "Contact not found")
    charlies_program.create("bob@example.com")
    assert body_of(program.call("GET", url)) == contact


def test_pages_follow_each_other_without_gaps_or_doubles(program: Program) -> None:
    for number in range(7):
        program.create(f"{number}@example.com", last_name="Same")
    for sort in ("created", "-created", "name", "-name", "email", "-email", "company", "-company"):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = body_of(program.call("GET", query_string={"sort": sort, "limit": 3, "cursor": cursor}))
            seen += [contact["email"] for contact in page["data"]]
            cursor = page["next_cursor"]
        assert sorted(seen) == [f"{number}@example.com" for number in range(7)]
        if sort.endswith(("created", "email")):
            assert seen == sorted(seen, reverse=sort.startswith("-"))


def test_a_search_finds_by_beginning(program: Program) -> None:
    program.create("bob@example.com", first_name="Robert", last_name="Baker", company="Mill")
    program.create("carol@example.com", first_name="Carol", last_name="Miller")
    program.create("dave@example.com")
    assert program.emails(q="MIL", sort="email") == ["bob@example.com", "carol@example.com"]
    assert program.emails(q="robert b") == ["bob@example.com"]
    assert program.emails(q="dave@") == ["dave@example.com"]
    assert program.emails(q="%") == []


def test_the_total_counts_what_matches(program: Program) -> None:
    program.create("bob@example.com")
    program.create("carol@example.com")
    page = body_of(program.call("GET", query_string={"limit": 1, "q": "bob"}))
    assert (page["total"], page["total_is_exact"]) == (1, True)
    assert body_of(program.call("GET", query_string={"limit": 1}))["total"] == 2


def test_the_total_is_exact_up_to_a_hundred_thousand(program: Program, alice: Person, services: Settings) -> None:
    program.create("bob@example.com")
    with owner_connection(services) as connection:
        connection.execute(
            """
            INSERT INTO contacts (organisation_id, id, email, email_key, created_at, updated_at)
            SELECT %s, gen_random_uuid(), n || '@x.example', n || '@x.example', now(), now()
            FROM generate_series(1, 100000) n
            """,
            [alice.organisation_id],
        )
    page = body_of(program.call("GET", query_string={"limit": 1}))
    assert (page["total"], page["total_is_exact"]) == (100_000, False)
    program.call("DELETE", f"{URL}/{body_of(program.call('GET', query_string={'q': 'bob@'}))['data'][0]['id']}")
    page = body_of(program.call("GET", query_string={"limit": 1}))
    assert (page["total"], page["total_is_exact"]) == (100_000, True)


def damaged_cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"sort": "shoe_size"}, "sort"),
        ({"page": "2"}, "page"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": damaged_cursor(["nul\x00", uuid7().hex]), "sort": "name"}, "cursor"),
        ({"cursor": damaged_cursor(["\ud800", uuid7().hex]), "sort": "name"}, "cursor"),
        ({"cursor": damaged_cursor({"a": 1})}, "cursor"),
        ({"cursor": damaged_cursor(["a", 7])}, "cursor"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(program: Program, query: dict[str, str], field: str) -> None:
    problem = assert_problem(program.call("GET", query_string=query), 422, "Unprocessable Entity")
    assert [(error["in"], error["field"]) for error in problem["errors"]] == [("query", field)]


def test_an_id_that_is_none_leads_nowhere(program: Program) -> None:
    assert_problem(program.call("GET", f"{URL}/seven"), 404, "Not Found")
    assert_problem(program.call("GET", f"{URL}/{uuid7()}"), 404, "Contact not found")
