"""From a list's ticks to a report: the pages of verbs over many records."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import work_off
from tests.bulk_actions.verbs.test_verbs import HEADER, counts, ids_of, rows_of
from tests.conftest import Person
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import list_bulk_actions
from webapp.config import Settings
from webapp.extensions import db, tenant


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    rows = [[f"p{n}@example.com", f"N{n}", "Köln", "old", str(n)] for n in range(5)]
    return import_rows(app, alice.organisation_id, rows, HEADER)


def asked(person: Person, verb: str, **data: object) -> str:
    answer = person.client.post("/bulk-actions/new", data={"entity": "contacts", "verb": verb, **data})
    assert answer.status_code == 200, answer.text
    return answer.text


def started(app: APIFlask, person: Person, page: str, **data: object) -> str:
    """The report, after everything on the confirm page was sent."""
    hidden = dict(re.findall(r'type="hidden" name="(entity|verb|selection)" value="([^"]*)"', page))
    hidden["selection"] = hidden["selection"].replace("&#34;", '"')
    answer = person.client.post("/bulk-actions/start-verb", data={**hidden, **data})
    assert answer.status_code == 303, answer.text
    work_off(app)
    return person.client.get(answer.location).text


def newest(app: APIFlask, organisation_id: UUID) -> BulkAction:
    with app.app_context(), tenant(organisation_id):
        bulk_action = list_bulk_actions(organisation_id)[0]
        db.session.expunge(bulk_action)
        return bulk_action


def test_ticked_records_are_tagged(app: APIFlask, alice: Person, services: Settings) -> None:
    ids = [str(record_id) for record_id in list(ids_of(services).values())[:2]]
    page = asked(alice, "add_tags", ids=ids)
    assert "<strong>2 contacts</strong>" in page
    report = started(app, alice, page, tags="vip")
    assert "Add the tag “vip” to contacts" in report
    assert counts(newest(app, alice.organisation_id)) == {"row": 2, "succeeded": 2}
    done = alice.client.get(f"/bulk-actions/{newest(app, alice.organisation_id).id}/records?outcome=succeeded").text
    assert "p0@example.com" in done
    assert "p2@example.com" not in done


def test_all_that_match_are_updated(app: APIFlask, alice: Person, services: Settings) -> None:
    page = asked(alice, "update", all="1", filter="?where=first_name%3Ais%3An1")
    assert "<strong>1 contact</strong>: N1." in page
    report = started(app, alice, page, change="city", **{"value-city": "Bonn"})
    assert "City becomes" in report
    assert rows_of(services, "city")["p1@example.com"] == ("Bonn",)


def test_deleting_asks_for_the_number(app: APIFlask, alice: Person, services: Settings) -> None:
    page = asked(alice, "delete", all="1", filter="")
    selection = re.search(r'name="selection" value="([^"]*)"', page)
    assert selection is not None
    data = {"entity": "contacts", "verb": "delete", "selection": selection[1].replace("&#34;", '"')}
    refused = alice.client.post("/bulk-actions/start-verb", data={**data, "typed_count": "4"})
    assert refused.status_code == 422
    assert "Type the number 5 to delete so many contacts." in refused.text
    assert len(rows_of(services)) == 5
    report = started(app, alice, page, typed_count="5")
    assert rows_of(services) == {}
    assert "5 contacts come back" in report


def test_only_owners_delete_all_that_match_no_filter(
    app: APIFlask, alice: Person, bob: Person, services: Settings
) -> None:
    everything = {"entity": "contacts", "verb": "delete", "all": "1", "filter": ""}
    refused = bob.client.post("/bulk-actions/new", data=everything)
    assert (refused.status_code, "Only owners may delete everything" in refused.text) == (403, True)
    data = {"entity": "contacts", "verb": "delete", "typed_count": "5"}
    for selection in ('{"filter": {}}', '{"filter": {"q": []}}', '{"filter": {"tag": []}, "zone": "Asia/Kathmandu"}'):
        assert bob.client.post("/bulk-actions/start-verb", data={**data, "selection": selection}).status_code == 403
    work_off(app)
    assert len(rows_of(services)) == 5
    started(app, bob, asked(bob, "delete", all="1", filter="q=p0%40example.com"), typed_count="1")
    assert len(rows_of(services)) == 4
    started(app, alice, asked(alice, "delete", all="1", filter=""), typed_count="4")
    assert rows_of(services) == {}


def test_undo_stands_on_the_report_once(app: APIFlask, alice: Person, people: BulkAction, services: Settings) -> None:
    assert "5 created contacts go into the trash" in alice.client.get(people.path).text
    answer = alice.client.post(f"{people.path}/undo")
    work_off(app)
    assert rows_of(services) == {}
    assert "5 done." in alice.client.get(answer.location).text
    assert "This was undone" in alice.client.get(people.path).text
    again = alice.client.post(f"{people.path}/undo", follow_redirects=True)
    assert "undone already" in again.text


def test_an_export_is_downloaded(app: APIFlask, alice: Person) -> None:
    page = asked(alice, "export", all="1", filter="")
    report = started(app, alice, page, format="csv", formulas="keep", columns=["email", "tags"])
    link = re.search(r'href="(/bulk-actions/[^"]+/file)"', report)
    assert link is not None
    answer = alice.client.get(link[1])
    assert answer.data.decode("utf-8-sig").splitlines()[0] == "E-mail,Tags"
    assert len(answer.data.decode("utf-8-sig").splitlines()) == 6
    assert "contacts" in answer.headers["Content-Disposition"]


def test_what_is_wrong_is_said_and_nothing_begins(app: APIFlask, alice: Person, people: BulkAction) -> None:
    page = asked(alice, "add_tags", all="1", filter="")
    hidden = dict(re.findall(r'type="hidden" name="(entity|verb|selection)" value="([^"]*)"', page))
    hidden["selection"] = hidden["selection"].replace("&#34;", '"')
    answer = alice.client.post("/bulk-actions/start-verb", data={**hidden, "tags": " , "})
    assert answer.status_code == 422
    assert "Say at least one tag." in answer.text
    assert newest(app, alice.organisation_id).id == people.id


def test_nothing_ticked_is_explained(alice: Person) -> None:
    answer = alice.client.post("/bulk-actions/new", data={"entity": "contacts", "verb": "delete"})
    assert answer.status_code == 400
    assert "tick at least one record" in answer.text


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ('{"filter": {}, "zone": "Nowhere"}', "There is no time zone called “Nowhere”."),
        ('{"filter": {}, "zone": "\\u0000"}', "There is no time zone called"),
        ('{"filter": {}, "zone": "\\ud800"}', "There is no time zone called"),
        ('{"filter": {"where": ["shoe:is:1"]}}', "There is no field called “shoe”."),
        ('{"deletion_id": "019aa7a0-0000-7000-8000-000000000000"}', "What was deleted can only be restored."),
        ('{"ids": []}', "Choose 1 to 10,000 records"),
        ('{"ids": ["x"]}', "“x” is no id."),
        ("[]", "Say which records"),
        ("5", "Say which records"),
        ("null", "Say which records"),
        ("{", "The selection cannot be read."),
        ("[" * 50_000, "The selection cannot be read."),
    ],
    ids=lambda text: text[:60],
)
@pytest.mark.parametrize("address", ["/bulk-actions/new", "/bulk-actions/start-verb"])
def test_a_selection_that_cannot_be_used_is_explained(alice: Person, address: str, selection: str, said: str) -> None:
    data = {"entity": "contacts", "verb": "delete", "selection": selection, "typed_count": "5"}
    answer = alice.client.post(address, data=data)
    assert answer.status_code == 400
    assert said in answer.text


def test_charlie_sees_and_undoes_nothing_of_it(alice: Person, charlie: Person, people: BulkAction) -> None:
    for path in ("records", "rows", "file"):
        assert charlie.client.get(f"{people.path}/{path}").status_code == 404
    assert charlie.client.post(f"{people.path}/undo").status_code == 404


def test_rejected_and_replaced_rows_are_listed(app: APIFlask, alice: Person) -> None:
    rows = [["nobody", "A"], ["x@example.com"], ["x@example.com"]]
    done = import_rows(app, alice.organisation_id, rows, HEADER)
    rejected = alice.client.get(f"{done.path}/rows?outcome=rejected").text
    assert "“nobody” is not an e-mail address." in rejected
    replaced = alice.client.get(f"{done.path}/rows?outcome=duplicate").text
    assert re.search(r'"Row">3</td>\s*<td data-label="Replaced by row">4</td>', replaced)
