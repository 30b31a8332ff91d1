"""What a contact, or any one visitor, did on the websites, over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema, fields
from apiflask.fields import Integer, String
from flask.typing import ResponseReturnValue
from marshmallow.validate import Length, Range

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.contacts.api import bp
from webapp.contacts.former import find_owner
from webapp.contacts.models import CONTACTS, Contact
from webapp.contacts.timeline import person_of
from webapp.lib.keys import fold_key
from webapp.lib.pagination import BadCursorError
from webapp.problems import Problem
from webapp.records.queries import get_record
from webapp.records.refusals import refused
from webapp.records.shared_api import not_found
from webapp.schemas import Text
from webapp.visits.api import read_sites
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.people.hiding import is_key_hidden
from webapp.visits.people.identities import Linked, visitors_of
from webapp.visits.people.reading import Person
from webapp.visits.people.schemas import (
    KEY_LENGTH,
    PersonVisitsPage,
    PersonVisitsQuery,
    VisitorLinkList,
    VisitorStatsAnswer,
    link_as_json,
    stats_as_json,
    visit_as_json,
)
from webapp.visits.people.summary import summarise
from webapp.visits.people.timeline import list_visits

WAYS = "`contactId`, `identity`, or `siteId` with `identifier` or `visitor`"

api_visitors = APIBlueprint("api_visitors", __name__, url_prefix="/api/v1", tag="Visitors")


class VisitorQuery(Schema):
    """Who is asked about."""

    contact_id = fields.UUID(data_key="contactId", metadata={"description": "All visitors of this contact."})
    identity = Text(
        validate=Length(1, KEY_LENGTH),
        metadata={"description": "All visitors of who has this e-mail address or customer number."},
    )
    site_id = String(data_key="siteId", metadata={"description": "The site of `identifier` or `visitor`."})
    identifier = Text(validate=Length(1, KEY_LENGTH), metadata={"description": "What the site calls the visitor."})
    visitor = Integer(
        validate=Range(-(2**63), 2**63 - 1), metadata={"description": "The visitor's number, as other calls tell it."}
    )


@bp.get("/<uuid:record_id>/visits")
@bp.auth_required(api_auth)
@bp.input(PersonVisitsQuery, location="query")
@bp.output(PersonVisitsPage)
@bp.doc(
    summary="List a contact's visits",
    description="All visits of the browsers that are linked with them, the newest first, earlier ones than the link"
    " too, with what was done in each. A call reads some million rows: where more are to be read, `is_partial` says"
    " so, and the next page goes on.",
)
def list_contacts_visits(record_id: UUID, query_data: dict[str, Any]) -> ResponseReturnValue:
    try:
        page = list_visits(person_of(_contact(record_id)), query_data.get("cursor"), query_data["limit"])
    except BadCursorError as error:
        raise refused({"cursor": str(error)}, place="query") from error
    return {
        "data": [visit_as_json(visit) for visit in page.visits],
        "next_cursor": page.next_cursor,
        "is_partial": page.looked_since is not None,
    }


@bp.get("/<uuid:record_id>/identities")
@bp.auth_required(api_auth)
@bp.output(VisitorLinkList)
@bp.doc(
    summary="List the browsers that are linked with a contact",
    description="One for each site and browser. Links that were refused are at `/api/v1/refused-merges`.",
)
def list_contacts_identities(record_id: UUID) -> ResponseReturnValue:
    return {"data": [link_as_json(link) for link in person_of(_contact(record_id)).links]}


@api_visitors.get("/analytics/visitor-stats")
@api_visitors.auth_required(api_auth)
@api_visitors.input(VisitorQuery, location="query", arg_name="query")
@api_visitors.output(VisitorStatsAnswer)
@api_visitors.doc(summary="What one visitor did", responses={404: "No such contact", 422: "What is wrong"})
def show_visitor_stats(query: dict[str, Any]) -> ResponseReturnValue:
    """Totals of one person or one visitor: pages, visits, events, time, devices, countries, first and last seen.

    Say who: a contact, an e-mail address or customer number, or a site and what it calls its visitor.
    An address stands for its contact, with those that they had before. Of who lies in the trash nothing is told.
    """
    person = _person(query)
    return {"data": stats_as_json(summarise(person, with_pages=True), len(person.links))}


def _contact(record_id: UUID) -> Contact:
    contact: Contact | None = get_record(CONTACTS, current_organisation().id, record_id)
    if contact is None:
        raise not_found(CONTACTS)
    return contact


def _person(query: dict[str, Any]) -> Person:
    organisation_id = current_organisation().id
    given = {name for name, value in query.items() if value is not None}
    if given == {"contact_id"}:
        return person_of(_contact(query["contact_id"]))
    if given == {"identity"}:
        return _person_called(organisation_id, fold_key(query["identity"].strip()))
    if given in ({"site_id", "identifier"}, {"site_id", "visitor"}):
        [site] = read_sites(organisation_id, query["site_id"])
        if "identifier" in given and is_key_hidden(organisation_id, fold_key(query["identifier"].strip())):
            return Person(organisation_id, ())
        number = query["visitor"] if "visitor" in given else visitor_number(site.id.bytes, query["identifier"])
        return Person(organisation_id, (Linked(site.id, number, "", None, None),))
    raise Problem(422, "Who is meant?", f"Give one of {WAYS}.")


def _person_called(organisation_id: UUID, key: str) -> Person:
    """Who has the key, or had it last; nobody while they lie in the trash."""
    if contact := find_owner(organisation_id, key):
        return person_of(contact)
    keys = [] if is_key_hidden(organisation_id, key) else [key]
    return Person(organisation_id, tuple(visitors_of(organisation_id, keys)))
