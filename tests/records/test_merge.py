"""What a merge makes of staged rows under each rule, in records, outcomes and before-images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, read, uploads, work_off
from tests.conftest import owner_connection
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.importing import start_import
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.tasks import send_work
from webapp.config import Settings
from webapp.extensions import db, tenant

HEADER = ["Email", "First name", "City", "Tags", "Shoe size"]
MAPPING: dict[str, str | None] = {
    "0": "email", "1": "first_name", "2": "city", "3": "tags", "4": "attributes.Shoe size",
}  # fmt: skip
Merge = Callable[..., BulkAction]
COUNTS = ("created", "updated", "unchanged", "skipped", "rejected", "duplicate")


def import_rows(
    app: APIFlask,
    organisation_id: UUID,
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    *,
    mapping: Mapping[str, str | None] | None = None,
    rules: Mapping[str, Any] | None = None,
    entity: str = "contacts",
    is_dry_run: bool = False,
) -> BulkAction:
    """An import from its upload to its end."""
    with app.app_context(), tenant(organisation_id):
        blocks = [csv_of(rows, header)]
        draft = start_upload(organisation_id, None, "", blocks, storage=uploads(app), limit_bytes=10**9, entity=entity)
        draft.rules, draft.is_dry_run = dict(rules or {}), is_dry_run
        start_import(draft, mapping)
        db.session.commit()
        bulk_action_id = draft.id
    send_work()
    work_off(app)
    return read(app, organisation_id, bulk_action_id)


@pytest.fixture
def merge(app: APIFlask, organisation_id: UUID) -> Merge:
    return partial(import_rows, app, organisation_id, header=HEADER, mapping=MAPPING)


def counts(bulk_action: BulkAction) -> dict[str, int]:
    found = {name: getattr(bulk_action, f"{name}_count") for name in COUNTS}
    return {name: count for name, count in found.items() if count}


def contacts(settings: Settings) -> dict[str, tuple[Any, ...]]:
    """(first name, city, tags, attributes) by address."""
    query = "SELECT email_key, first_name, city, tags, attributes FROM contacts"
    with owner_connection(settings) as connection:
        return {row[0]: row[1:] for row in connection.execute(query)}


def outcomes(settings: Settings, bulk_action: BulkAction) -> Mapping[str, int]:
    with owner_connection(settings) as connection:
        query = "SELECT outcome, sum(record_count)::int FROM bulk_action_outcomes WHERE bulk_action_id = %s GROUP BY 1"
        return {row[0]: row[1] for row in connection.execute(query, [bulk_action.id])}


ADA = ["ada@example.com", "Ada", "London", "maths; vip", "38"]


def test_a_new_row_becomes_a_record_with_tags_and_own_attributes(merge: Merge, services: Settings) -> None:
    bulk_action = merge([ADA, ["bob@example.com"]])
    assert counts(bulk_action) == {"created": 2}
    assert contacts(services) == {
        "ada@example.com": ("Ada", "London", ["maths", "vip"], {"Shoe size": "38"}),
        "bob@example.com": (None, None, [], {}),
    }
    assert outcomes(services, bulk_action) == {"created": 2}


def test_the_same_again_changes_nothing(merge: Merge, services: Settings) -> None:
    merge([ADA])
    again = merge([ADA])
    assert counts(again) == {"unchanged": 1}
    assert outcomes(services, again) == {"unchanged": 1}


def test_cells_overwrite_blanks_leave_and_tags_are_added(merge: Merge, services: Settings) -> None:
    merge([ADA])
    bulk_action = merge([["ADA@example.com", "", "Paris", "new", ""]])
    assert counts(bulk_action) == {"updated": 1}
    assert contacts(services)["ada@example.com"] == ("Ada", "Paris", ["maths", "new", "vip"], {"Shoe size": "38"})


def test_before_images_hold_what_was_there(merge: Merge, services: Settings) -> None:
    merge([ADA])
    bulk_action = merge([["ada@example.com", "Countess", "", "new", "39"]])
    with owner_connection(services) as connection:
        query = 'SELECT "values", written_at > updated_at FROM before_images WHERE bulk_action_id = %s'
        rows = connection.execute(query, [bulk_action.id]).fetchall()
    before = {"email": "ada@example.com", "first_name": "Ada", "city": "London", "tags": ["maths", "vip"]}
    assert rows == [({**before, "attributes": {"Shoe size": "38"}}, True)]


def policies(policy: str) -> dict[str, Any]:
    columns = ("first_name", "city", "tags", "attributes.Shoe size")
    return {"policies": dict.fromkeys(columns, policy)}


def test_filling_touches_only_what_is_blank(merge: Merge, services: Settings) -> None:
    merge([["ada@example.com", "", "London", "", ""], ["bob@example.com", "Bob", "", "vip", "44"]])
    rows = [["ada@example.com", "Ada", "Paris", "new", "38"], ["bob@example.com", "Rob", "Oslo", "new", "45"]]
    assert counts(merge(rows, rules=policies("fill"))) == {"updated": 2}
    assert contacts(services) == {
        "ada@example.com": ("Ada", "London", ["new"], {"Shoe size": "38"}),
        "bob@example.com": ("Bob", "Oslo", ["vip"], {"Shoe size": "44"}),
    }
    assert counts(merge(rows, rules=policies("fill"))) == {"unchanged": 2}


def test_leaving_only_serves_new_records(merge: Merge, services: Settings) -> None:
    merge([ADA])
    rows = [["ada@example.com", "Countess", "Paris", "new", "39"], ["bob@example.com", "Bob", "Oslo", "vip", "44"]]
    assert counts(merge(rows, rules=policies("leave"))) == {"created": 1, "unchanged": 1}
    assert contacts(services)["ada@example.com"] == ("Ada", "London", ["maths", "vip"], {"Shoe size": "38"})
    assert contacts(services)["bob@example.com"] == ("Bob", "Oslo", ["vip"], {"Shoe size": "44"})


def test_tags_are_replaced_when_they_overwrite_and_a_blank_leaves_them(merge: Merge, services: Settings) -> None:
    merge([ADA, ["bob@example.com", "Bob", "", "vip"]])
    rows = [["ada@example.com", "", "", "new"], ["bob@example.com"]]
    assert counts(merge(rows, rules={"policies": {"tags": "overwrite"}})) == {"updated": 1, "unchanged": 1}
    assert contacts(services)["ada@example.com"][2] == ["new"]
    assert contacts(services)["bob@example.com"][2] == ["vip"]


def test_a_blank_empties_only_where_somebody_asked_for_it(merge: Merge, services: Settings) -> None:
    merge([ADA])
    cleared = ["city", "tags", "attributes.Shoe size"]
    rules = {"policies": {"tags": "overwrite"}, "cleared": cleared}
    assert counts(merge([["ada@example.com"]], rules=rules)) == {"updated": 1}
    assert contacts(services)["ada@example.com"] == ("Ada", None, [], {})


def test_create_only_rejects_what_is_known_with_its_own_cells(merge: Merge, services: Settings) -> None:
    merge([ADA])
    bulk_action = merge([["Ada@example.com", "x"], ["bob@example.com", "Bob"]], rules={"mode": "create_only"})
    assert counts(bulk_action) == {"created": 1, "rejected": 1}
    with owner_connection(services) as connection:
        rows = connection.execute("SELECT row_number, reason, cells FROM rejected_rows").fetchall()
    reason = "A contact with this e-mail already exists."
    assert rows == [(2, reason, ["Ada@example.com", "x", "", "", ""])]
    assert bulk_action.row_count == bulk_action.left_out_count + bulk_action.merged_count


def test_update_only_rejects_what_is_new(merge: Merge, services: Settings) -> None:
    merge([ADA])
    rows = [["ada@example.com", "Countess"], ["bob@example.com", "Bob"]]
    assert counts(merge(rows, rules={"mode": "update_only"})) == {"updated": 1, "rejected": 1}
    assert set(contacts(services)) == {"ada@example.com"}


def test_skipping_leaves_what_is_known(merge: Merge, services: Settings) -> None:
    merge([ADA])
    bulk_action = merge([["ada@example.com", "x"], ["bob@example.com"]], rules={"mode": "skip_existing"})
    assert counts(bulk_action) == {"created": 1, "skipped": 1}
    assert contacts(services)["ada@example.com"][0] == "Ada"
    assert outcomes(services, bulk_action) == {"created": 1, "skipped": 1}


def test_rows_of_one_key_are_folded_with_their_tags_and_attributes(merge: Merge, services: Settings) -> None:
    rows = [
        ["ada@example.com", "Ada", "London", "maths", "38"],
        ["ADA@example.com", "", "Paris", "vip", ""],
        ["ada@example.com", "Countess", "", "", "39"],
    ]
    assert counts(merge(rows)) == {"created": 1, "duplicate": 2}
    assert contacts(services)["ada@example.com"] == ("Countess", "Paris", ["maths", "vip"], {"Shoe size": "39"})


def test_the_last_tags_win_when_they_overwrite(merge: Merge, services: Settings) -> None:
    rows = [["ada@example.com", "", "", "a; b"], ["ada@example.com", "", "", "c"], ["ada@example.com"]]
    merge(rows, rules={"policies": {"tags": "overwrite"}})
    assert contacts(services)["ada@example.com"][2] == ["c"]


@pytest.mark.parametrize("mode", ["create_and_update", "create_only", "update_only", "skip_existing"])
def test_a_dry_run_says_the_same_and_writes_nothing(merge: Merge, services: Settings, mode: str) -> None:
    merge([ADA, ["cleo@example.com", "Cleo"]])
    before = contacts(services)
    rows = [
        ["ada@example.com", "Countess"],
        ["cleo@example.com"],
        ["bob@example.com", "Bob"],
        ["nobody"],
        ["bob@example.com"],
    ]
    tried = merge(rows, rules={"mode": mode}, is_dry_run=True)
    assert contacts(services) == before
    done = merge(rows, rules={"mode": mode})
    assert counts(tried) == counts(done)
    assert outcomes(services, tried) == outcomes(services, done)
    with owner_connection(services) as connection:
        images = connection.execute("SELECT count(*) FROM before_images WHERE bulk_action_id = %s", [tried.id])
        assert images.fetchone() == (0,)


def test_tags_are_found_by_their_index_after_every_kind_of_write(merge: Merge, services: Settings) -> None:
    merge([ADA])
    merge([["ada@example.com", "", "", "new"]], rules={"policies": {"tags": "overwrite"}})
    with owner_connection(services) as connection:
        assert connection.execute("SELECT tag FROM contact_tags").fetchall() == [("new",)]
        connection.execute("DELETE FROM contacts")
        assert connection.execute("SELECT tag FROM contact_tags").fetchall() == []


def test_products_merge_by_sku_with_prices_and_switches(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    header = ["SKU", "Name", "Price", "Currency", "Active"]
    rows = [["Cup-1", "Cup", "1.234,50", "eur", "no"], ["cup-2", "Mug", "7", "", ""]]
    first = import_rows(app, organisation_id, rows, header, entity="products")
    again = [["CUP-1", "", "1234.5", "EUR", ""], ["cup-2", "", "", "", "false"], ["cup-3", "", "x"]]
    second = import_rows(app, organisation_id, again, header, entity="products")
    assert counts(first) == {"created": 2}
    assert counts(second) == {"updated": 2, "rejected": 1}
    with owner_connection(services) as connection:
        query = "SELECT sku, name, price::text, currency, is_active FROM products ORDER BY sku_key"
        found = connection.execute(query).fetchall()
    assert found == [("CUP-1", "Cup", "1234.5000", "EUR", False), ("cup-2", "Mug", "7.0000", None, False)]
