"""Numbers of visits over HTTP for programs: over time, by the values of a field, and of one event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, DateTime, Float, Integer, List, Nested, String
from flask import Response
from marshmallow.validate import Length, OneOf, Range

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.visits import answers
from webapp.visits.api import (
    COMPLETE_DESCRIPTION,
    VisitsQuery,
    api_visits,
    read_aggregation,
    read_edges,
    read_sites,
    read_where,
    read_zone,
    tagged,
)
from webapp.visits.buckets import Aggregation
from webapp.visits.periods import utc_iso
from webapp.visits.questions import COUNTED, FIELDS, Figures, Filter, Operator, Question, Value

VALUES_LIMIT = 1_000
EVENT_NAME_LIMIT = 100
WRITTEN = {name: name for names in COUNTED.values() for name in names} | {
    "visit_ms": "visit_seconds",
    "engaged_ms": "engaged_seconds",
}
BAD_QUESTION = {422: "What is allowed instead"}


METRICS = ("usual", "visitors")


class BreakdownQuery(VisitsQuery):
    field = String(required=True, validate=OneOf(FIELDS), metadata={"description": "What is counted value by value."})
    limit = Integer(load_default=100, validate=Range(1, VALUES_LIMIT))
    metric = String(
        load_default=METRICS[0],
        validate=OneOf(METRICS),
        metadata={"description": "visitors: the values that most visitors have, with their visitors and nothing else."},
    )


class EventQuery(VisitsQuery):
    event = String(
        required=True, validate=Length(1, EVENT_NAME_LIMIT), metadata={"description": "The name of the event."}
    )


class Numbers(Schema):
    """What is counted; rates and averages are left to whoever adds buckets up."""

    visitor_count = Integer(metadata={"description": "Different visitors. They do not add up over buckets."})
    is_estimate = Boolean(metadata={"description": "Whether visitor_count is an estimate."})
    visit_count = Integer()
    pageview_count = Integer()
    event_count = Integer()
    bounce_count = Integer(metadata={"description": "Visits of one page without an event."})
    visit_seconds = Float(metadata={"description": "All visits' durations together."})
    engaged_seconds = Float(metadata={"description": "How long pages were looked at, together."})


class TimedNumbers(Numbers):
    timeframe = DateTime(metadata={"description": "When the bucket begins, in UTC."})


class ValueNumbers(Numbers):
    value = String(metadata={"description": "'' for none; (other) for what was not counted one by one."})


class ValueVisitors(Schema):
    value = String(metadata={"description": "'' for none."})
    visitor_count = Integer()
    is_estimate = Boolean(metadata={"description": "Whether visitor_count is an estimate."})


class Complete(Schema):
    """An answer that may need single visits."""

    complete_from = DateTime(metadata={"description": COMPLETE_DESCRIPTION})


class TimeSeriesAnswer(Complete):
    data = List(Nested(TimedNumbers))


class BreakdownAnswer(Complete):
    data = List(Nested(ValueNumbers))


class DeviceCount(Schema):
    device = String()
    count = Integer()
    unique_visitors = Integer()
    is_estimate = Boolean()


class EventSummary(Schema):
    event = String()
    count = Integer()
    unique_visitors = Integer()
    is_estimate = Boolean()
    by_device = List(Nested(DeviceCount))


class EventSummaryAnswer(Complete):
    data = Nested(EventSummary)


@dataclass(frozen=True)
class Asked:
    """A question with the edges of its buckets."""

    question: Question
    aggregation: Aggregation
    edges: list[datetime]


@api_visits.get("/analytics/time-series")
@api_visits.auth_required(api_auth)
@api_visits.input(VisitsQuery, location="query", arg_name="query")
@api_visits.output(TimeSeriesAnswer)
@api_visits.doc(summary="All numbers over time", responses=BAD_QUESTION)
def show_time_series(query: dict[str, Any]) -> Response:
    """Every number, bucket by bucket, empty buckets too."""
    asked = read_asked(query)
    return tagged(asked.question, asked.edges, lambda: _timed_numbers(asked))


@api_visits.get("/analytics/breakdown")
@api_visits.auth_required(api_auth)
@api_visits.input(BreakdownQuery, location="query", arg_name="query")
@api_visits.output(BreakdownAnswer)
@api_visits.doc(summary="All numbers by the values of a field", responses=BAD_QUESTION)
def show_breakdown(query: dict[str, Any]) -> Response:
    """The values of a field that are most counted: pages, countries, campaigns, events and the rest.

    The range is made of whole buckets of `aggregation`, days without one. Each field has numbers of its own: of pages
    visit_count are those that began there; visitors are told of events and products. Those of any field are told by
    `metric=visitors`, which reads single visits: exact up to 500,000 of a value, and beyond that an estimate.
    """
    question, field, limit = read_asked(query).question, query["field"], query["limit"]
    if query["metric"] == "visitors":
        return tagged(question, (field, limit, "visitors"), lambda: list_visitors(question, field, limit))
    return tagged(question, (field, limit), lambda: list_values(question, field, limit))


@api_visits.get("/analytics/event-summary")
@api_visits.auth_required(api_auth)
@api_visits.input(EventQuery, location="query", arg_name="query")
@api_visits.output(EventSummaryAnswer)
@api_visits.doc(summary="How often an event was reported, and by whom", responses=BAD_QUESTION)
def show_event_summary(query: dict[str, Any]) -> Response:
    """How often one event was reported, by how many visitors, and on which devices."""
    event = Filter("event", Operator.IS, (query["event"],))
    question = read_asked(query, event).question
    return tagged(question, query["event"], lambda: _event_summary(question, query["event"]))


def _event_summary(question: Question, event: str) -> dict[str, Any]:
    total = answers.totals(question)
    return {
        "event": event,
        "count": total.event_count,
        "unique_visitors": total.visitor_count,
        "is_estimate": total.is_estimate,
        "by_device": [_device(value) for value in answers.visitors_by(question, "device")],
    }


def _timed_numbers(asked: Asked) -> list[dict[str, Any]]:
    found = answers.points(asked.question, asked.edges)
    buckets = zip(pairwise(asked.edges), found, strict=True)
    return [{"timeframe": utc_iso(start), **_numbers(figures)} for (start, _), figures in buckets]


def list_values(question: Question, field: str, limit: int) -> list[dict[str, Any]]:
    """The values of a field, each with the numbers that are told of it."""
    told = {WRITTEN[name] for name in COUNTED[field]}
    return [
        {"value": value.value, **{key: number for key, number in _numbers(value.figures).items() if key in told}}
        for value in answers.breakdown(question, field, limit)
    ]


def list_visitors(question: Question, field: str, limit: int) -> list[dict[str, Any]]:
    """The values of a field that most visitors have."""
    return [
        {
            "value": value.value,
            "visitor_count": value.figures.visitor_count,
            "is_estimate": value.figures.is_estimate,
        }
        for value in answers.most_visited(question, field, limit)
    ]


def read_asked(query: dict[str, Any], *rows: Filter) -> Asked:
    """What a request asks for, of these rows alone; raises Problem."""
    organisation = current_organisation()
    zone = read_zone(query.get("timezone"), organisation.time_zone)
    aggregation = read_aggregation(query["aggregation"])
    edges = read_edges(aggregation, query.get("date_from"), query.get("date_to"), zone)
    sites = read_sites(organisation.id, query.get("site_id"))
    filters = read_where(query["where"], sites)
    question = Question(organisation.id, tuple(site.id for site in sites), edges[0], edges[-1], filters, rows)
    return Asked(question, aggregation, edges)


def _numbers(figures: Figures) -> dict[str, Any]:
    return {
        "visitor_count": figures.visitor_count,
        "is_estimate": figures.is_estimate,
        "visit_count": figures.visit_count,
        "pageview_count": figures.pageview_count,
        "event_count": figures.event_count,
        "bounce_count": figures.bounce_count,
        "visit_seconds": figures.visit_ms / 1000,
        "engaged_seconds": figures.engaged_ms / 1000,
    }


def _device(value: Value) -> dict[str, Any]:
    figures = value.figures
    return {
        "device": value.value,
        "count": figures.event_count,
        "unique_visitors": figures.visitor_count,
        "is_estimate": figures.is_estimate,
    }
