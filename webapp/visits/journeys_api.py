"""Journeys from and to a page, over HTTP for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apiflask import Schema
from apiflask.fields import Integer, List, Nested, String
from flask import Response
from marshmallow.validate import Length, Range

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.problems import Problem
from webapp.visits.analytics_api import BAD_QUESTION, Complete, read_asked
from webapp.visits.api import VisitsQuery, api_visits, read_sites, tagged
from webapp.visits.questions import Filter
from webapp.visits.raw.flows import STEPS, Came, Flow, FlowStep, flow
from webapp.visits.site_page.filters import VALUE_LIMIT, BadFilterError, origins_of, with_origins
from webapp.visits.site_page.flows import USUAL_STEPS, read_place

LIMIT = 1_000


class JourneysQuery(VisitsQuery):
    page = String(
        load_default="",
        validate=Length(0, VALUE_LIMIT),
        metadata={"description": "The page, as in /pricing or /orders/*; without it, where visits enter."},
    )
    steps = Integer(load_default=USUAL_STEPS, validate=Range(STEPS[0], STEPS[-1]))
    limit = Integer(
        load_default=10, validate=Range(1, LIMIT), metadata={"description": "Most pages and referrers of a step."}
    )


class ValueCount(Schema):
    value = String(metadata={"description": "A page, or the referrer's host; '' for none."})
    visit_count = Integer()


class JourneyStep(Schema):
    """One step away from the page. All visits of a step together are those that saw a page one step nearer."""

    step = Integer(metadata={"description": "1 is the nearest."})
    visit_count = Integer()
    pages = List(Nested(ValueCount))
    other_page_visit_count = Integer(metadata={"description": "Of pages that are not listed."})


class StepBefore(JourneyStep):
    entered = List(Nested(ValueCount), metadata={"description": "Visits that had begun, by their referrer."})
    other_entered_visit_count = Integer()


class StepAfter(JourneyStep):
    left_visit_count = Integer(metadata={"description": "Visits that saw no page any more."})


class Journeys(Schema):
    visit_count = Integer(metadata={"description": "Visits that saw the page, or any where none is named."})
    before = List(Nested(StepBefore))
    after = List(Nested(StepAfter))


class JourneysAnswer(Complete):
    data = Nested(Journeys)


@api_visits.get("/analytics/journeys")
@api_visits.auth_required(api_auth)
@api_visits.input(JourneysQuery, location="query", arg_name="query")
@api_visits.output(JourneysAnswer)
@api_visits.doc(summary="What visits saw before and after a page", responses=BAD_QUESTION)
def show_journeys(query: dict[str, Any]) -> Response:
    """Steps from and to a page, from where each visit that began in the range first saw it.

    The same page again at once is no step. Filters choose visits: of those that pass, all pages count.
    """
    question = read_asked(query).question
    asked = _read_centre(query), query["steps"], query["limit"]
    return tagged(question, asked, lambda: _written(flow(question, *asked)))


def _read_centre(query: dict[str, Any]) -> Filter | None:
    try:
        centre = read_place({"page": query["page"]}).filter
    except BadFilterError as error:
        raise Problem(422, "Not a page", str(error)) from error
    if centre is None:
        return None
    sites = read_sites(current_organisation().id, query.get("site_id"))
    return with_origins([centre], origins_of(sites))[0]


def _written(found: Flow) -> dict[str, Any]:
    return {
        "visit_count": found.visit_count,
        "before": [
            {
                **_step(number, step),
                "entered": _values(step.entered),
                "other_entered_visit_count": step.other_entered_count,
            }
            for number, step in enumerate(found.before, start=1)
        ],
        "after": [
            {**_step(number, step), "left_visit_count": step.left_count}
            for number, step in enumerate(found.after, start=1)
        ],
    }


def _step(number: int, step: FlowStep) -> dict[str, Any]:
    return {
        "step": number,
        "visit_count": step.visit_count,
        "pages": _values(step.pages),
        "other_page_visit_count": step.other_count,
    }


def _values(values: Sequence[Came]) -> list[dict[str, Any]]:
    return [{"value": came.value, "visit_count": came.visit_count} for came in values]
