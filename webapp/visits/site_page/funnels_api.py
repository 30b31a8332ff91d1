"""`/api/v1/sites/…/funnels`: saved funnels, and how many visitors got from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from apiflask import Schema
from apiflask.fields import Integer, List, Nested, String
from flask import Response, url_for
from flask.typing import ResponseReturnValue
from marshmallow import validate

from webapp.accounts.api_auth import api_auth
from webapp.extensions import db
from webapp.problems import Problem
from webapp.schemas import Text, UtcTime
from webapp.visits.analytics_api import BAD_QUESTION, Complete, read_asked
from webapp.visits.api import VisitsQuery, tagged
from webapp.visits.models import Site
from webapp.visits.questions import Filter, Question
from webapp.visits.raw import journeys
from webapp.visits.raw.journeys import STEPS
from webapp.visits.site_page import service
from webapp.visits.site_page.filters import with_origins
from webapp.visits.site_page.journeys import read_steps
from webapp.visits.site_page.kept_api import destroy, told_if_refused
from webapp.visits.site_page.models import Funnel
from webapp.visits.site_page.queries import get_funnel, list_funnels
from webapp.visits.sites_api import api_sites, site_of

EXAMPLE = {"name": "Order", "steps": ["page:is:/pricing", "page:is:/checkout", "event:is:order"]}
STEP_WORDS = (
    f"{STEPS[0]} to {STEPS[-1]} steps in their order, each `field:comparison:value`; fields are page, event, product."
)


class FunnelChange(Schema):
    name = Text(validate=validate.Length(1, service.NAME_LIMIT), metadata={"example": EXAMPLE["name"]})
    steps = List(
        Text(),
        validate=validate.Length(STEPS[0], STEPS[-1]),
        metadata={"description": STEP_WORDS, "example": EXAMPLE["steps"]},
    )


class FunnelOut(FunnelChange):
    """Steps under a name."""

    id = String(metadata={"format": "uuid"})
    created_at = UtcTime()


class FunnelList(Schema):
    """The site's funnels by their name."""

    data = List(Nested(FunnelOut))


class StepCount(Schema):
    step = String()
    visitor_count = Integer()


class FunnelCounts(Complete):
    """How many visitors reached each step after all steps before it."""

    data = List(Nested(StepCount))


class FunnelQuery(VisitsQuery):
    class Meta:
        unknown = VisitsQuery.Meta.unknown
        exclude = ("site_id",)


@api_sites.get("/<uuid:site_id>/funnels")
@api_sites.auth_required(api_auth)
@api_sites.output(FunnelList)
def list_saved_funnels(site_id: UUID) -> ResponseReturnValue:
    """List a site's saved funnels"""
    site = site_of(site_id)
    return {"data": list_funnels(site.organisation_id, site.id)}


@api_sites.post("/<uuid:site_id>/funnels")
@api_sites.auth_required(api_auth)
@api_sites.input(FunnelChange, example=EXAMPLE)
@api_sites.output(FunnelOut, status_code=201)
def create_funnel(site_id: UUID, json_data: dict[str, Any]) -> Any:
    """Save a funnel

    It needs a name and its steps.
    """
    site = site_of(site_id)
    with told_if_refused("funnel"):
        funnel = service.save_funnel(site, json_data.get("name", ""), json_data.get("steps", []))
    db.session.commit()
    return funnel, 201, {"Location": url_for(".show_funnel", site_id=site.id, funnel_id=funnel.id)}


@api_sites.get("/<uuid:site_id>/funnels/<uuid:funnel_id>")
@api_sites.auth_required(api_auth)
@api_sites.output(FunnelOut)
def show_funnel(site_id: UUID, funnel_id: UUID) -> Any:
    """Read a saved funnel"""
    return _funnel(site_id, funnel_id)[1]


@api_sites.patch("/<uuid:site_id>/funnels/<uuid:funnel_id>")
@api_sites.auth_required(api_auth)
@api_sites.input(FunnelChange, example={"name": "Order, short"})
@api_sites.output(FunnelOut)
def update_funnel(site_id: UUID, funnel_id: UUID, json_data: dict[str, Any]) -> Any:
    """Rename a saved funnel, or change its steps"""
    site, funnel = _funnel(site_id, funnel_id)
    with told_if_refused("funnel"):
        service.change_funnel(site, funnel, json_data.get("name"), json_data.get("steps"))
    db.session.commit()
    return funnel


@api_sites.delete("/<uuid:site_id>/funnels/<uuid:funnel_id>")
@api_sites.auth_required(api_auth)
@api_sites.output({}, status_code=204)
def destroy_funnel(site_id: UUID, funnel_id: UUID) -> ResponseReturnValue:
    """Delete a saved funnel"""
    return destroy(Funnel, site_id, funnel_id)


@api_sites.get("/<uuid:site_id>/funnels/<uuid:funnel_id>/counts")
@api_sites.auth_required(api_auth)
@api_sites.input(FunnelQuery, location="query", arg_name="query")
@api_sites.output(FunnelCounts)
@api_sites.doc(summary="Count a saved funnel", responses=BAD_QUESTION)
def show_funnel_counts(site_id: UUID, funnel_id: UUID, query: dict[str, Any]) -> Response:
    """How many visitors got from step to step within the dates, as far as they pass the filters."""
    site, funnel = _funnel(site_id, funnel_id)
    question = read_asked({**query, "site_id": str(site.id)}).question
    steps = with_origins(read_steps(funnel.steps), site.origins)
    return tagged(question, steps, lambda: _counts(question, funnel.steps, steps))


def _counts(question: Question, texts: Sequence[str], steps: Sequence[Filter]) -> list[dict[str, Any]]:
    found = journeys.funnel(question, steps)
    return [{"step": step, "visitor_count": n} for step, n in zip(texts, found.visitor_counts, strict=True)]


def _funnel(site_id: UUID, funnel_id: UUID) -> tuple[Site, Funnel]:
    site = site_of(site_id)
    funnel = get_funnel(site.organisation_id, funnel_id)
    if funnel is None or funnel.site_id != site.id:
        raise Problem(404, "No such funnel", "There is no funnel with this id on this site.")
    return site, funnel
