"""Right now, over HTTP for programs: the last half hour by the minute, and where those are who are there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, DateTime, Integer, List, Nested, String
from flask import Response
from marshmallow import EXCLUDE
from marshmallow.validate import Range

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.visits import answers
from webapp.visits.analytics_api import BAD_QUESTION, Complete, ValueVisitors, list_visitors
from webapp.visits.api import WHERE_DESCRIPTION, api_visits, read_sites, read_where, tagged
from webapp.visits.periods import utc_iso
from webapp.visits.questions import PAGE, Question

MINUTES = 30
ACTIVE = timedelta(minutes=5)
LISTS = {"pages": PAGE, "referrers": "referrer", "countries": "country"}


class NowQuery(Schema):
    class Meta:
        unknown = EXCLUDE

    site_id = String(data_key="siteId", metadata={"description": "Only this site; without it, all of them."})
    where = List(String(), load_default=list, metadata={"description": WHERE_DESCRIPTION})
    limit = Integer(load_default=10, validate=Range(1, 1_000), metadata={"description": "Most values of a list."})


class Minute(Schema):
    timeframe = DateTime(metadata={"description": "When the minute begins, in UTC."})
    visitor_count = Integer()
    pageview_count = Integer()
    event_count = Integer()


class RightNow(Schema):
    active_visitor_count = Integer(metadata={"description": "Visitors who did something in the last five minutes."})
    visitor_count = Integer(metadata={"description": "Visitors of the last 30 minutes."})
    pageview_count = Integer()
    event_count = Integer()
    is_estimate = Boolean(metadata={"description": "Whether visitors are estimates."})
    minutes = List(Nested(Minute), metadata={"description": "The last 30, this one included."})
    pages = List(Nested(ValueVisitors), metadata={"description": "Of the last five minutes, as are the other lists."})
    referrers = List(Nested(ValueVisitors))
    countries = List(Nested(ValueVisitors))


class RightNowAnswer(Complete):
    data = Nested(RightNow)


@api_visits.get("/analytics/real-time")
@api_visits.auth_required(api_auth)
@api_visits.input(NowQuery, location="query", arg_name="query")
@api_visits.output(RightNowAnswer)
@api_visits.doc(summary="The last 30 minutes, and who is there now", responses=BAD_QUESTION)
def show_real_time(query: dict[str, Any]) -> Response:
    """Minute by minute what was counted, and where those are who did something in the last five minutes."""
    organisation, now = current_organisation(), utc_now()
    sites = read_sites(organisation.id, query.get("site_id"))
    edges = minute_edges(now)
    filters, site_ids = read_where(query["where"], sites), tuple(site.id for site in sites)
    whole = Question(organisation.id, site_ids, edges[0], edges[-1], filters)
    active = Question(organisation.id, site_ids, now - ACTIVE, now, filters)
    return tagged(whole, (active, query["limit"]), lambda: _right_now(whole, active, edges, query["limit"]))


def minute_edges(now: datetime) -> list[datetime]:
    """The starts of the last thirty minutes, this one included, and the end of this one."""
    this = now.replace(second=0, microsecond=0)
    return [this + timedelta(minutes=minute) for minute in range(1 - MINUTES, 2)]


def _right_now(whole: Question, active: Question, edges: Sequence[datetime], limit: int) -> dict[str, Any]:
    total, there = answers.totals(whole), answers.totals(active)
    return {
        "active_visitor_count": there.visitor_count,
        "visitor_count": total.visitor_count,
        "pageview_count": total.pageview_count,
        "event_count": total.event_count,
        "is_estimate": total.is_estimate or there.is_estimate,
        "minutes": _minutes(whole, edges),
        **{name: list_visitors(active, field, limit) for name, field in LISTS.items()},
    }


def _minutes(whole: Question, edges: Sequence[datetime]) -> list[dict[str, Any]]:
    return [
        {
            "timeframe": utc_iso(edge),
            "visitor_count": point.visitor_count,
            "pageview_count": point.pageview_count,
            "event_count": point.event_count,
        }
        for edge, point in zip(edges, answers.points(whole, edges), strict=False)
    ]
