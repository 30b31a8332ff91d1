"""Funnels of any steps, and weeks of return, over HTTP for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from apiflask import Schema
from apiflask.fields import Boolean, Date, DateTime, Integer, List, Nested, String
from flask import Response
from marshmallow import EXCLUDE
from marshmallow.validate import Length, Range

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.visits.analytics_api import BAD_QUESTION, Complete, read_asked
from webapp.visits.api import (
    ALLOWED,
    WHERE_DESCRIPTION,
    VisitsQuery,
    api_visits,
    read_sites,
    read_where,
    read_zone,
    tagged,
)
from webapp.visits.models import Site
from webapp.visits.periods import is_possible, utc_iso
from webapp.visits.questions import Filter, Question
from webapp.visits.raw import journeys
from webapp.visits.raw.journeys import STEPS, Cohorts
from webapp.visits.site_page.filters import with_origins
from webapp.visits.site_page.funnels_api import STEP_WORDS, FunnelCounts
from webapp.visits.site_page.journeys import WEEKS, looked_back_to, read_steps, week_edges
from webapp.visits.site_page.service import BadEntryError, checked_steps

WEEK_LIMIT = 53


class StepsQuery(VisitsQuery):
    step = List(
        String(),
        required=True,
        validate=Length(STEPS[0], STEPS[-1]),
        metadata={"description": f"{STEP_WORDS} May be given several times, once a step."},
    )


class RetentionQuery(Schema):
    class Meta:
        unknown = EXCLUDE

    weeks = Integer(load_default=WEEKS, validate=Range(2, WEEK_LIMIT), metadata={"description": "How many weeks."})
    date_to = Date(data_key="dateTo", metadata={"description": "A day of the last week; today where it is left out."})
    site_id = String(data_key="siteId", metadata={"description": "Only this site; without it, all of them."})
    timezone = String(metadata={"description": "In which weeks are cut; else the organisation's."})
    where = List(String(), load_default=list, metadata={"description": WHERE_DESCRIPTION})


class ReturnWeek(Schema):
    timeframe = DateTime(metadata={"description": "When the week begins, a Monday, in UTC."})
    visitor_count = Integer(metadata={"description": "Visitors whose first visit within these weeks was in this one."})
    returned_counts = List(Integer(), metadata={"description": "How many of them came in each of the weeks after it."})


class Retention(Schema):
    is_estimate = Boolean(metadata={"description": "Whether visitors are estimates."})
    weeks = List(Nested(ReturnWeek))


class RetentionAnswer(Complete):
    data = Nested(Retention)


@api_visits.get("/analytics/funnel")
@api_visits.auth_required(api_auth)
@api_visits.input(StepsQuery, location="query", arg_name="query")
@api_visits.output(FunnelCounts)
@api_visits.doc(summary="How many visitors got from step to step", responses=BAD_QUESTION)
def show_funnel(query: dict[str, Any]) -> Response:
    """A funnel that need not be saved: visitors who did the first step, then later the second, and so on."""
    question = read_asked(query).question
    texts = _read_texts(query["step"])
    steps = with_origins(read_steps(texts), _origins(_sites(query)))
    return tagged(question, steps, lambda: _steps(question, texts, steps))


@api_visits.get("/analytics/retention")
@api_visits.auth_required(api_auth)
@api_visits.input(RetentionQuery, location="query", arg_name="query")
@api_visits.output(RetentionAnswer)
@api_visits.doc(summary="In which weeks visitors come again", responses=BAD_QUESTION)
def show_retention(query: dict[str, Any]) -> Response:
    """Visitors by the week of their first visit, and how many of them came again in each week after it."""
    organisation, sites = current_organisation(), _sites(query)
    zone = read_zone(query.get("timezone"), organisation.time_zone)
    last, count = _last_day(query.get("date_to"), zone), query["weeks"]
    edges = week_edges(zone, last, count)
    start, filters = looked_back_to(zone, last, count), read_where(query["where"], sites)
    question = Question(organisation.id, tuple(site.id for site in sites), start, edges[-1], filters)
    return tagged(question, edges, lambda: _weeks(edges, journeys.retention_by_week(question, edges)))


def _read_texts(texts: Sequence[str]) -> list[str]:
    try:
        return checked_steps(texts)
    except BadEntryError as error:
        raise Problem(422, "Not a funnel", str(error)) from error


def _sites(query: dict[str, Any]) -> list[Site]:
    return read_sites(current_organisation().id, query.get("site_id"))


def _origins(sites: Sequence[Site]) -> list[str]:
    return [origin for site in sites for origin in site.origins]


def _steps(question: Question, texts: Sequence[str], steps: Sequence[Filter]) -> list[dict[str, Any]]:
    found = journeys.funnel(question, steps).visitor_counts
    return [{"step": text, "visitor_count": count} for text, count in zip(texts, found, strict=True)]


def _last_day(day: date | None, zone: ZoneInfo) -> date:
    if day is None:
        return utc_now().astimezone(zone).date()
    if not is_possible(day):
        raise Problem(422, "Date out of range", f"`dateTo` must lie in the years {ALLOWED['years']}.", allowed=ALLOWED)
    return day


def _weeks(edges: Sequence[datetime], cohorts: Cohorts) -> dict[str, Any]:
    found = zip(edges, cohorts.visitor_counts, strict=False)
    weeks = [
        {"timeframe": utc_iso(starts_at), "visitor_count": first, "returned_counts": later}
        for starts_at, (first, *later) in found
    ]
    return {"is_estimate": cohorts.is_estimate, "weeks": weeks}
