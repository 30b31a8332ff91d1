"""How the API tells of goals, segments, notes and shared links."""

from __future__ import annotations

from apiflask import Schema
from apiflask.fields import Boolean, Date, Float, Integer, List, Nested, String
from marshmallow.validate import Length, OneOf

from webapp.schemas import Text, UtcTime
from webapp.visits.analytics_api import Complete
from webapp.visits.api import WHERE_DESCRIPTION, VisitsQuery
from webapp.visits.questions import PAGE
from webapp.visits.site_page.service import NAME_LIMIT

GOAL_EXAMPLE = {"name": "Ordered", "kind": PAGE, "value": "/orders/*"}
SEGMENT_EXAMPLE = {"name": "Germans on telephones", "filters": ["country:is:DE", "device:is:mobile"]}
NOTE_EXAMPLE = {"day": "2026-01-31", "text": "The letter went out"}
LINK_EXAMPLE = {"name": "The agency", "filters": ["utm_source:is:agency"], "shows_goals": True}
FILTERS = {"description": WHERE_DESCRIPTION, "example": SEGMENT_EXAMPLE["filters"]}
ID = {"format": "uuid"}


class NewGoal(Schema):
    name = Text(load_default="", validate=Length(max=NAME_LIMIT), metadata={"description": "Its value, if left out."})
    kind = String(load_default=PAGE, validate=OneOf((PAGE, "event")))
    value = Text(required=True, metadata={"description": "A page, as in /thanks, /orders/* or *thanks*, or an event."})


class GoalOut(Schema):
    """What a site wants its visitors to do."""

    id = String(metadata=ID)
    name = String()
    filter = String(metadata={"description": "What it is to reach it, field:comparison:value."})
    created_at = UtcTime()


class GoalList(Schema):
    """The site's goals, oldest first."""

    data = List(Nested(GoalOut))


class GoalConversion(GoalOut):
    visitor_count = Integer(metadata={"description": "Visitors who reached it."})
    is_estimate = Boolean()
    conversion_rate = Float(metadata={"description": "Their share of all visitors, 0 to 1."})


class Conversions(Schema):
    visitor_count = Integer(metadata={"description": "All visitors that pass the filters."})
    is_estimate = Boolean()
    goals = List(Nested(GoalConversion))


class ConversionsAnswer(Complete):
    data = Nested(Conversions)


class ConversionQuery(VisitsQuery):
    class Meta:
        unknown = VisitsQuery.Meta.unknown
        exclude = ("site_id",)


class NewSegment(Schema):
    name = Text(required=True, metadata={"example": SEGMENT_EXAMPLE["name"]})
    filters = List(Text(), required=True, validate=Length(1), metadata=FILTERS)


class SegmentOut(NewSegment):
    """Filters under a name: what `where` takes."""

    id = String(metadata=ID)
    created_at = UtcTime()


class SegmentList(Schema):
    """The site's segments by their name."""

    data = List(Nested(SegmentOut))


class NewNote(Schema):
    day = Text(required=True, metadata={"format": "date", "description": "In the site's time zone."})
    text = Text(required=True)


class NoteOut(Schema):
    """Something that happened on a day, shown on the site's chart."""

    id = String(metadata=ID)
    day = Date()
    text = String()
    created_at = UtcTime()


class NoteList(Schema):
    """The site's notes, the latest day first."""

    data = List(Nested(NoteOut))


class NewSharedLink(Schema):
    name = Text(required=True, metadata={"description": "Whom it is for."})
    filters = List(Text(), load_default=list, metadata={**FILTERS, "description": f"Its limits. {WHERE_DESCRIPTION}"})
    shows_goals = Boolean(load_default=False)


class SharedLinkOut(Schema):
    """A secret address that shows a site's visits to whoever has it."""

    id = String(metadata=ID)
    name = String()
    url = String(metadata={"format": "uri"})
    filters = List(String())
    shows_goals = Boolean()
    created_at = UtcTime()


class SharedLinkList(Schema):
    """The site's links, oldest first."""

    data = List(Nested(SharedLinkOut))
