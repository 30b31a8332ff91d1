"""Reports name records that are in the trash, say which are gone for good, and lead to what replaced a row."""

from __future__ import annotations

import re

import pytest
from apiflask import APIFlask

from tests.bulk_actions.test_api import calling_as
from tests.bulk_actions.verbs.test_verbs import do_verb, ids_of, undo_of
from tests.conftest import Person, owner_connection
from tests.records.support import NAME_FIELDS, key_of
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction, Verb
from webapp.bulk_actions.verbs.selection import Selection
from webapp.config import Settings
from webapp.records.entities import Entity, get_entity


@pytest.fixture(params=["contacts", "products"])
def entity(request: pytest.FixtureRequest, app: APIFlask) -> Entity:
    return get_entity(request.param)


def brought(app: APIFlask, alice: Person, entity: Entity, *names: str) -> BulkAction:
    """An import of records that people call by these names."""
    rows = [[key_of(entity, name), name.capitalize()] for name in names]
    header = [entity.key.label, entity.label_of_column(NAME_FIELDS[entity.name])]
    return import_rows(app, alice.organisation_id, rows, header, entity=entity.name)


def outcome(alice: Person, bulk_action: BulkAction, name: str = "succeeded") -> str:
    return alice.client.get(f"{bulk_action.path}/records?outcome={name}").text


def test_deleted_records_are_named_with_the_way_to_the_trash(app: APIFlask, alice: Person, entity: Entity) -> None:
    brought(app, alice, entity, "ada")
    deleted = do_verb(app, alice.organisation_id, Verb.DELETE, entity=entity.name)
    page = outcome(alice, deleted)
    key = key_of(entity, "ada")
    link = re.search(r'<td>Ada <a href="([^"]+)">in the trash</a>', page)
    assert link is not None
    assert f'data-label="{entity.key.label}">{key}</td>' in page
    assert key in alice.client.get(link[1]).text
    assert "gone for good" not in page


def test_records_that_an_undo_took_away_are_named(app: APIFlask, alice: Person, entity: Entity) -> None:
    source = brought(app, alice, entity, "ada", "grace")
    undone = undo_of(app, alice.organisation_id, source)
    for page in (outcome(alice, undone), outcome(alice, source, "created")):
        assert page.count("in the trash") == 2
        assert "Grace" in page


def test_what_is_not_in_the_trash_any_more_is_gone_for_good(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    import_rows(app, alice.organisation_id, [["ada@example.com"], ["bob@example.com"]], ["Email"])
    deleted = do_verb(app, alice.organisation_id, Verb.DELETE)
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM deleted_contacts WHERE email_key = 'ada@example.com'")
    page = outcome(alice, deleted)
    assert (page.count("gone for good"), page.count("in the trash")) == (1, 1)
    assert "ada@example.com" not in page
    assert charlie.client.get(f"{deleted.path}/records?outcome=succeeded").status_code == 404


def test_a_replaced_row_leads_to_the_record_that_it_is_about(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    rows = [["ada@example.com", "A"], ["bob@example.com", "B"], ["Ada@example.com", "C"], ["ada@example.com", "Ada"]]
    done = import_rows(app, alice.organisation_id, rows, ["Email", "First name"])
    address, ada_id = f"{done.path}/rows?outcome=duplicate", ids_of(services)["ada@example.com"]
    page = alice.client.get(address).text
    assert page.count(f'<a class="table__link" href="/contacts/{ada_id}">Ada</a>') == 2
    assert "bob@example.com" not in page
    assert charlie.client.get(address).status_code == 404
    do_verb(app, alice.organisation_id, Verb.DELETE, Selection(ids=(ada_id,)))
    trashed = 'Ada <a href="/contacts/deleted?q=ada@example.com">in the trash</a>'
    assert alice.client.get(address).text.count(trashed) == 2
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM deleted_contacts")
    assert alice.client.get(address).text.count("none, now") == 2


def test_a_dry_run_and_an_import_of_before_have_no_record_to_show(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    rows = [["Ada@example.com"], ["ada@example.com"]]
    done = import_rows(app, alice.organisation_id, rows, ["Email"], is_dry_run=True)
    page = alice.client.get(f"{done.path}/rows?outcome=duplicate").text
    assert "ada@example.com" in page
    assert "none, now" in page
    with owner_connection(services) as connection:
        connection.execute("UPDATE replaced_rows SET record_key = NULL")
    assert "not kept" in alice.client.get(f"{done.path}/rows?outcome=duplicate").text


def test_a_program_is_told_the_key_of_a_replaced_row(app: APIFlask, alice: Person) -> None:
    done = import_rows(app, alice.organisation_id, [["A@example.com"], ["a@example.com"]], ["Email"])
    call = calling_as(app, alice.organisation_id)
    answer = call(f"/api/v1/bulk-actions/{done.id}/rows?outcome=duplicate").json
    assert answer == {"data": [{"row_number": 2, "replaced_by_row_number": 3, "record_key": "a@example.com"}]}
