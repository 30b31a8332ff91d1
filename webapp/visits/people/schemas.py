"""How the API tells of one person's visits."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, String
from marshmallow.validate import Length, Range

from webapp.schemas import Text, UtcTime
from webapp.visits.people.identities import Linked
from webapp.visits.people.refused import PAGE_SIZE as REFUSED_PAGE_SIZE
from webapp.visits.people.refused import Refused
from webapp.visits.people.summary import Summary
from webapp.visits.people.timeline import PAGE_SIZE, Doing, PersonVisit

MOST_VISITS = 100
MOST_REFUSED = 500
VISITOR = "The visitor's number on its site, a signed 64-bit number as text."
KEY_LENGTH = 1_000


class PersonVisitsQuery(Schema):
    cursor = Text(metadata={"description": "`next_cursor` of the page before."})
    limit = Integer(load_default=PAGE_SIZE, validate=Range(1, MOST_VISITS))


class DoingOut(Schema):
    at = UtcTime()
    kind = String(metadata={"enum": ["pageview", "event", "product"]})
    page = String()
    name = String(metadata={"description": "The event's name, or the product's SKU."})
    properties = Dict(keys=String(), values=String())
    engaged_seconds = Float(metadata={"description": "How long the page was looked at."})


class PersonVisitOut(Schema):
    site_id = String(metadata={"format": "uuid"})
    visitor = String(metadata={"description": VISITOR})
    started_at = UtcTime()
    ended_at = UtcTime()
    pageview_count = Integer()
    event_count = Integer()
    entry_page = String()
    exit_page = String()
    referrer = String()
    channel = String()
    utm_source = String()
    utm_medium = String()
    utm_campaign = String()
    utm_term = String()
    utm_content = String()
    country = String(metadata={"description": "ISO 3166, two letters; '' for unknown."})
    language = String()
    device = String()
    browser = String()
    system = String()
    screen = String()
    activity = List(Nested(DoingOut))
    more_activity_count = Integer(metadata={"description": "How much of a very long visit is left out."})


class PersonVisitsPage(Schema):
    data = List(Nested(PersonVisitOut))
    next_cursor = String(metadata={"type": ["string", "null"]})
    is_partial = Boolean(
        metadata={"description": "Whether more visits may come, though this page is not full: go on by `next_cursor`."}
    )


class VisitorLink(Schema):
    site_id = String(metadata={"format": "uuid"})
    visitor = String(metadata={"description": VISITOR})
    identity = String()
    first_at = UtcTime(
        metadata={"description": "When the person was named; null where the site calls the visitor by this very key."}
    )
    until = UtcTime(
        metadata={"description": "When somebody else was named on it: from then on it is neither's. Else null."}
    )


class VisitorLinkList(Schema):
    data = List(Nested(VisitorLink))


class RefusedQuery(PersonVisitsQuery):
    site_id = String(data_key="siteId", metadata={"description": "Only those of this site."})
    identity = Text(
        validate=Length(1, KEY_LENGTH), metadata={"description": "Only those that concern this person, on either side."}
    )
    limit = Integer(load_default=REFUSED_PAGE_SIZE, validate=Range(1, MOST_REFUSED))


class RefusedOut(Schema):
    site_id = String(metadata={"format": "uuid"})
    visitor = String(metadata={"description": VISITOR})
    identity = String(metadata={"description": "Who was named, and refused."})
    owner = String(metadata={"description": "With whom the visitor is linked."})
    at = UtcTime(metadata={"description": "When they were named there for the first time."})


class RefusedList(Schema):
    data = List(Nested(RefusedOut))
    next_cursor = String(metadata={"type": ["string", "null"]})


class VisitorTrait(Schema):
    value = String(metadata={"description": "'' for unknown."})
    visit_count = Integer()


class VisitorPage(Schema):
    page = String()
    pageview_count = Integer()


class VisitorStats(Schema):
    first_seen_at = UtcTime(metadata={"description": "Null without a visit."})
    last_seen_at = UtcTime()
    visitor_count = Integer(metadata={"description": "How many browsers, each on one site."})
    visit_count = Integer()
    pageview_count = Integer()
    event_count = Integer(metadata={"description": "Events; looking at a product is none."})
    visit_seconds = Float(metadata={"description": "All visits' durations together."})
    engaged_seconds = Float(metadata={"description": "How long pages were looked at, together."})
    devices = List(Nested(VisitorTrait))
    browsers = List(Nested(VisitorTrait))
    systems = List(Nested(VisitorTrait))
    countries = List(Nested(VisitorTrait))
    top_pages = List(Nested(VisitorPage))


class VisitorStatsAnswer(Schema):
    data = Nested(VisitorStats)


def visit_as_json(visit: PersonVisit) -> dict[str, Any]:
    """A visit as the API shows it."""
    return {
        "site_id": visit.site_id,
        "visitor": visit.visitor,
        "started_at": visit.started_at,
        "ended_at": visit.ended_at,
        "pageview_count": visit.pageview_count,
        "event_count": visit.event_count,
        "entry_page": visit.entry_page,
        "exit_page": visit.exit_page,
        **visit.attributes,
        "activity": [_doing_as_json(doing) for doing in visit.doings],
        "more_activity_count": visit.hidden_count,
    }


def _doing_as_json(doing: Doing) -> dict[str, Any]:
    return {
        "at": doing.at,
        "kind": doing.kind.name.lower(),
        "page": doing.page,
        "name": doing.name,
        "properties": doing.properties,
        "engaged_seconds": doing.engaged_ms / 1000,
    }


def link_as_json(link: Linked) -> dict[str, Any]:
    """A link as the API shows it."""
    return {"site_id": link.site_id, "visitor": link.visitor, "identity": link.identity} | {
        "first_at": link.first_at,
        "until": link.until,
    }


def refused_as_json(merge: Refused) -> dict[str, Any]:
    """A refused merge as the API shows it."""
    return {name: getattr(merge, name) for name in ("site_id", "visitor", "identity", "owner", "at")}


def stats_as_json(summary: Summary, visitor_count: int) -> dict[str, Any]:
    """What is known of somebody as the API shows it."""
    plurals = {"device": "devices", "browser": "browsers", "system": "systems", "country": "countries"}
    return {
        "first_seen_at": summary.first_at,
        "last_seen_at": summary.last_at,
        "visitor_count": visitor_count,
        "visit_count": summary.visit_count,
        "pageview_count": summary.pageview_count,
        "event_count": summary.event_count,
        "visit_seconds": summary.visit_ms / 1000,
        "engaged_seconds": summary.engaged_ms / 1000,
        **{
            plurals[name]: [{"value": value, "visit_count": count} for value, count in counts.most_common()]
            for name, counts in summary.traits.items()
        },
        "top_pages": [{"page": page, "pageview_count": count} for page, count in summary.top_pages],
    }
