"""`/api/v1/sites/…/weekly-reports`: the weeks that are over, and what each report says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from apiflask import Schema
from apiflask.fields import Boolean, Date, Float, Integer, List, Nested, String
from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.visits.site_page.goals import GoalLine
from webapp.visits.site_page.lists import Line
from webapp.visits.sites_api import api_sites, site_of
from webapp.visits.weekly.report import LISTS, Report, ReportNumber, list_report_mondays, make_report


class Weeks(Schema):
    """The Mondays of the weeks that are over, the last first, half a year of them."""

    data = List(Date())


class WeekNumber(Schema):
    name = String(metadata={"enum": ["visitors", "visits", "pageviews", "bounce_rate"]})
    value = Float(metadata={"type": ["number", "null"], "description": "null where there is nothing to divide."})
    change = Float(metadata={"type": ["number", "null"], "description": "Since the week before, 0.1 for a tenth more."})
    is_estimate = Boolean()


class WeekLine(Schema):
    value = String()
    count = Integer(metadata={"description": "Pageviews of a page; of the others, visits."})


class WeekLists(Schema):
    page = List(Nested(WeekLine))
    referrer = List(Nested(WeekLine))
    country = List(Nested(WeekLine))


class WeekGoal(Schema):
    name = String()
    visitor_count = Integer()
    is_estimate = Boolean()
    conversion_rate = Float()


class WeeklyReport(Schema):
    """What the mail of a week says."""

    monday = Date()
    numbers = List(Nested(WeekNumber))
    lists = Nested(WeekLists)
    goals = List(Nested(WeekGoal))


@api_sites.get("/<uuid:site_id>/weekly-reports")
@api_sites.auth_required(api_auth)
@api_sites.output(Weeks)
def list_weekly_reports(site_id: UUID) -> ResponseReturnValue:
    """List the weeks of which a site has a report"""
    return {"data": list_report_mondays(site_of(site_id), utc_now())}


@api_sites.get("/<uuid:site_id>/weekly-reports/<monday>")
@api_sites.auth_required(api_auth)
@api_sites.output(WeeklyReport)
def show_weekly_report(site_id: UUID, monday: str) -> ResponseReturnValue:
    """Read the report of a week

    Weeks are named by their Monday, as in 2026-01-05, and cut in the site's time zone.
    """
    site, now = site_of(site_id), utc_now()
    found = next((one for one in list_report_mondays(site, now) if one.isoformat() == monday), None)
    if found is None:
        raise Problem(404, "No such week", "There is no report of a week that begins on this day.")
    return _report(make_report(site, found, now))


def _report(report: Report) -> dict[str, Any]:
    return {
        "monday": report.monday,
        "numbers": [_number(number) for number in report.numbers],
        "lists": {field: _lines(one.lines) for field, one in zip(LISTS, report.lists, strict=True)},
        "goals": [_goal(line) for line in report.goals],
    }


def _number(number: ReportNumber) -> dict[str, Any]:
    return {
        "name": number.metric.name,
        "value": number.value,
        "change": number.change,
        "is_estimate": number.is_estimate,
    }


def _lines(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [{"value": line.value, "count": line.count} for line in lines]


def _goal(line: GoalLine) -> dict[str, Any]:
    return {
        "name": line.goal.name,
        "visitor_count": line.visitor_count,
        "is_estimate": line.is_estimate,
        "conversion_rate": line.conversion,
    }
