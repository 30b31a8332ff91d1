"""All that a program can say about an import: how to read it, where columns go, by which rules, when; and a try."""

from __future__ import annotations

import io
import json

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, work_off
from tests.bulk_actions.test_api import Call, call, calling_as, problem, upload
from tests.bulk_actions.test_mapping_page import contacts
from tests.conftest import Person, owner_connection
from webapp.config import Settings

__all__ = ["call"]
HEADER = ["Email", "First name", "Phone", "Shoe size"]
ADA = csv_of([["ada@example.com", "Ada", "030 1234567", "38"]], HEADER)


def imported(app: APIFlask, call: Call, content: bytes, **options: str) -> dict[str, object]:
    """An import as it stands when it is over."""
    answer = upload(call, content, **options)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    work_off(app)
    done = call(f"/api/v1/bulk-actions/{answer.json['id']}").json
    assert isinstance(done, dict)
    return done


def test_columns_are_named_by_their_header_or_their_place(app: APIFlask, services: Settings, call: Call) -> None:
    mapping = json.dumps({"First name": "last_name", "4": "attributes.Shoe size"})
    done = imported(app, call, ADA, mapping=mapping, region="DE")
    assert contacts(services)["ada@example.com"] == (None, "+49301234567", {"Shoe size": "38"})
    assert done["mapping"] == [
        {"column": 1, "name": "Email", "field": "email"},
        {"column": 2, "name": "First name", "field": "last_name"},
        {"column": 3, "name": "Phone", "field": "phone"},
        {"column": 4, "name": "Shoe size", "field": "attributes.Shoe size"},
    ]
    assert done["parameters"] == {"region": "DE"}
    assert done["read_as"] == {"encoding": "utf-8", "delimiter": ",", "has_header": True, "sheet": ""}


def test_rules_decide_what_happens_to_what_is_there(app: APIFlask, services: Settings, call: Call) -> None:
    imported(app, call, ADA, region="DE")
    rules = json.dumps({"policies": {"first_name": "fill"}, "cleared": ["phone"]})
    changed = csv_of([["ada@example.com", "Countess", "", ""], ["new@example.com"]], HEADER)
    done = imported(app, call, changed, mode="update_only", rules=rules)
    assert (done["updated_count"], done["rejected_count"], done["created_count"]) == (1, 1, 0)
    assert done["rules"] == {"mode": "update_only", "policies": {"first_name": "fill"}, "cleared": ["phone"]}
    assert contacts(services)["ada@example.com"][:2] == ("Ada", None)


def test_a_file_is_read_as_the_caller_says(app: APIFlask, services: Settings, call: Call) -> None:
    content = "ada@example.com;Zoë\nbob@example.com;Bob\n".encode("latin-1")
    mapping = json.dumps({"1": "email", "2": "first_name"})
    imported(app, call, content, encoding="latin-1", delimiter=";", has_header="false", mapping=mapping)
    assert contacts(services)["ada@example.com"][0] == "Zoë"
    assert len(contacts(services)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "x"}, "The rules cannot be used"),
        ({"rules": "{"}, "`rules` is not JSON"),
        ({"rules": "[]"}, "`rules` is not a JSON object"),
        ({"rules": '{"policies": 1}'}, "The rules cannot be used"),
        ({"rules": '{"policies": {"first_name": "add"}}'}, "Only tags can be added"),
        ({"rules": '{"policies": {"city": "fill"}}'}, "No column goes into “city”"),
        ({"rules": '{"cleared": ["shoe"]}'}, "No column goes into “shoe”"),
        ({"region": "Atlantis"}, "`region` is not the ISO 3166 code"),
        ({"mapping": '{"9": "city"}'}, "There is no column “9”"),
        ({"mapping": '{"Nose": "city"}'}, "There is no column “Nose”"),
        ({"mapping": '{"1": "nose"}'}, "There is no field called “nose”"),
        ({"mapping": '{"1": null}'}, "No column is matched to “E-mail”"),
        ({"encoding": "rot13"}, "Choose one of the encodings"),
        ({"run_at": "tomorrow"}, "`run_at` is not a moment"),
    ],
)
def test_options_that_cannot_be_used_are_refused_by_name_and_nothing_is_kept(
    services: Settings, call: Call, options: dict[str, str], words: str
) -> None:
    status, detail = problem(upload(call, ADA, **options))
    assert status == 422
    assert words in detail
    with owner_connection(services) as connection:
        assert connection.execute("SELECT count(*) FROM bulk_actions").fetchone() == (0,)


def test_what_was_tried_is_started_for_real_once(app: APIFlask, services: Settings, call: Call) -> None:
    tried = imported(app, call, ADA, dry_run="true", region="DE", mode="create_only")
    assert (tried["is_dry_run"], tried["created_count"]) == (True, 1)
    assert contacts(services) == {}
    answer = call(f"/api/v1/bulk-actions/{tried['id']}/start", "POST")
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["id"] == tried["source_id"]
    work_off(app)
    assert contacts(services)["ada@example.com"][1] == "+49301234567"
    status, detail = problem(call(f"/api/v1/bulk-actions/{tried['id']}/start", "POST"))
    assert status == 409
    assert str(tried["source_id"]) in detail
    assert problem(call(f"/api/v1/bulk-actions/{tried['source_id']}/start", "POST"))[0] == 409


def test_a_repeated_try_answers_with_the_first(app: APIFlask, call: Call) -> None:
    headers = {"Idempotency-Key": "one"}

    def attempt() -> str:
        data = {"dry_run": "true", "file": (io.BytesIO(ADA), "people.csv")}
        answer = call("/api/v1/bulk-actions/upload", "POST", headers=headers, data=data)
        assert answer.status_code == 202, answer.text
        assert answer.json is not None
        return str(answer.json["id"])

    first = attempt()
    work_off(app)
    assert attempt() == first
    assert call(f"/api/v1/bulk-actions/{first}/start", "POST").status_code == 202


def test_rejected_rows_come_as_a_file_that_goes_in_again_when_mended(
    app: APIFlask, services: Settings, call: Call
) -> None:
    done = imported(app, call, csv_of([["bob(at)example.com", "Bob", "", "44"]], HEADER), keep_unmapped="true")
    answer = call(f"/api/v1/bulk-actions/{done['id']}/rejected-rows.csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.data.decode("utf-8-sig").splitlines()[0] == "Email,First name,Phone,Shoe size,Row number,Reason"
    imported(app, call, answer.data.replace(b"bob(at)", b"bob@", 1))
    assert contacts(services)["bob@example.com"] == ("Bob", None, {"Shoe size": "44"})


def test_another_organisation_neither_starts_nor_reads(app: APIFlask, call: Call, charlie: Person) -> None:
    tried = imported(app, call, ADA, dry_run="true")
    other = calling_as(app, charlie.organisation_id)
    assert other(f"/api/v1/bulk-actions/{tried['id']}/start", "POST").status_code == 404
    assert other(f"/api/v1/bulk-actions/{tried['id']}/rejected-rows.csv").status_code == 404
