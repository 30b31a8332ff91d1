"""`/api/v1/sites/…/goals`: what a site wants of its visitors, and how many of them did it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import Response
from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.extensions import db
from webapp.problems import Problem
from webapp.visits import answers
from webapp.visits.analytics_api import BAD_QUESTION, read_asked
from webapp.visits.api import tagged
from webapp.visits.questions import Question
from webapp.visits.site_page import service
from webapp.visits.site_page.filters import write_filter
from webapp.visits.site_page.goals import can_convert_under, conversion, list_reached
from webapp.visits.site_page.kept_api import destroy, told_if_refused
from webapp.visits.site_page.kept_schemas import (
    GOAL_EXAMPLE,
    ConversionQuery,
    ConversionsAnswer,
    GoalList,
    GoalOut,
    NewGoal,
)
from webapp.visits.site_page.models import Goal
from webapp.visits.site_page.queries import list_goals
from webapp.visits.sites_api import api_sites, site_of


@api_sites.get("/<uuid:site_id>/goals")
@api_sites.auth_required(api_auth)
@api_sites.output(GoalList)
def list_site_goals(site_id: UUID) -> ResponseReturnValue:
    """List a site's goals"""
    site = site_of(site_id)
    return {"data": [_goal(goal) for goal in list_goals(site.organisation_id, site.id)]}


@api_sites.post("/<uuid:site_id>/goals")
@api_sites.auth_required(api_auth)
@api_sites.input(NewGoal, example=GOAL_EXAMPLE)
@api_sites.output(GoalOut, status_code=201)
def create_goal(site_id: UUID, json_data: dict[str, Any]) -> Any:
    """Add a goal"""
    site = site_of(site_id)
    with told_if_refused("goal"):
        goal = service.create_goal(site, json_data["name"], json_data["kind"], json_data["value"])
    db.session.commit()
    return _goal(goal), 201


@api_sites.delete("/<uuid:site_id>/goals/<uuid:goal_id>")
@api_sites.auth_required(api_auth)
@api_sites.output({}, status_code=204)
def destroy_goal(site_id: UUID, goal_id: UUID) -> ResponseReturnValue:
    """Delete a goal"""
    return destroy(Goal, site_id, goal_id)


@api_sites.get("/<uuid:site_id>/goals/conversions")
@api_sites.auth_required(api_auth)
@api_sites.input(ConversionQuery, location="query", arg_name="query")
@api_sites.output(ConversionsAnswer)
@api_sites.doc(summary="How many visitors reached each goal", responses=BAD_QUESTION)
def show_conversions(site_id: UUID, query: dict[str, Any]) -> Response:
    """Visitors who reached each goal within the dates, and their share of all that pass the filters.

    Filters of what was done (pages, events, properties, products) are refused: what was done elsewhere does not pass.
    """
    site = site_of(site_id)
    question = read_asked({**query, "site_id": str(site.id)}).question
    if not can_convert_under(question.filters):
        raise Problem(422, "Not for goals", "Goals are counted among visitors: filter by place, source or entry page.")
    goals = list_goals(site.organisation_id, site.id)
    asked = [site.origins, *((goal.id, goal.name, goal.field, goal.operator, goal.value) for goal in goals)]
    return tagged(question, asked, lambda: _conversions(question, goals, site.origins))


def _conversions(question: Question, goals: Sequence[Goal], origins: Sequence[str]) -> dict[str, Any]:
    total = answers.totals(question)
    found = zip(goals, list_reached(question, goals, origins), strict=True)
    return {
        "visitor_count": total.visitor_count,
        "is_estimate": total.is_estimate,
        "goals": [
            {
                **_goal(goal),
                "visitor_count": reached.visitor_count,
                "is_estimate": reached.is_estimate,
                "conversion_rate": conversion(reached, total),
            }
            for goal, reached in found
        ],
    }


def _goal(goal: Goal) -> dict[str, Any]:
    return {
        "id": str(goal.id),
        "name": goal.name,
        "filter": write_filter(goal.field, goal.operator, goal.value),
        "created_at": goal.created_at,
    }
