"""Pages of what visitors do one after another: funnels, and the weeks in which they come again."""

from __future__ import annotations

from typing import Any

from flask import redirect, request
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits.questions import PAGE, Filter
from webapp.visits.raw.journeys import STEPS
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.filters import BadFilterError, write_filters, written_page
from webapp.visits.site_page.goals import words_of as words_of_goal
from webapp.visits.site_page.journeys import WEEKS, list_steps, list_weeks, looked_back_to, read_steps, week_edges
from webapp.visits.site_page.models import Goal
from webapp.visits.site_page.queries import list_funnels, list_goals
from webapp.visits.site_page.service import pattern_of
from webapp.visits.site_page.views import find_site, toolbar_context, with_comparison
from webapp.visits.views import visits

FUNNEL, RETENTION = "visits.show_funnel", "visits.show_retention"


@visits.get("/funnel")
def show_funnel() -> ResponseReturnValue:
    """How many visitors get from step to step; the steps stand in the address."""
    choice = read_choice(find_site(request.args.get("site", "")), request.args, utc_now())
    error = choice.error
    try:
        steps = read_steps(request.args.getlist("step"))
    except BadFilterError as problem:
        steps, error = [], str(problem)
    if request.args.get("value") and "field" in request.args:
        return redirect(with_comparison(choice).url(FUNNEL, step=write_filters(steps)), code=303)
    if request.args.get("value") and len(steps) < STEPS[-1]:
        try:
            return redirect(funnel_url(choice, [*steps, _typed_step()]), code=303)
        except BadFilterError as problem:
            error = str(problem)
    return funnel_page(choice, steps, error)


@visits.get("/retention")
def show_retention() -> ResponseReturnValue:
    """In which weeks those come again who came for the first time in one."""
    choice = read_choice(find_site(request.args.get("site", "")), request.args, utc_now())
    if request.args.get("value"):
        return redirect(with_comparison(choice).url(RETENTION), code=303)
    weeks, is_estimate = list_weeks(choice)
    zone, last = choice.period.zone, choice.period.last
    edges = week_edges(zone, last)
    return render_page(
        "visits/retention.html",
        block="figures",
        status=422 if choice.error else 200,
        **toolbar_context(choice, RETENTION),
        weeks=weeks,
        is_estimate=is_estimate,
        week_count=WEEKS,
        is_under_way=edges[-1] > utc_now(),
        first_day=choice.kept_from(edges[0]),
        back_day=choice.kept_from(looked_back_to(zone, last)),
    )


def funnel_page(choice: Choice, steps: list[Filter], error: str = "") -> ResponseReturnValue:
    """The page of these steps, with the funnels that are saved."""
    status = 422 if error else 200
    return render_page("visits/funnel.html", block="figures", status=status, **_context(choice, steps), error=error)


def funnel_url(choice: Choice, steps: list[Filter]) -> str:
    """The address of these steps."""
    return choice.url(FUNNEL, step=write_filters(steps))


def _context(choice: Choice, steps: list[Filter]) -> dict[str, Any]:
    texts = write_filters(steps)
    saved = list_funnels(choice.organisation_id, choice.site.id)
    goals = list_goals(choice.organisation_id, choice.site.id)
    shown = list_steps(choice, steps)
    return {
        **toolbar_context(choice, FUNNEL, step=texts),
        "steps": [
            (step, funnel_url(choice, [*steps[:index], *steps[index + 1 :]])) for index, step in enumerate(shown)
        ],
        "texts": texts,
        "saved": [(one, funnel_url(choice, read_steps(one.steps)), one.steps == texts) for one in saved],
        "is_saved": any(one.steps == texts for one in saved),
        "goals": [(goal.name, words_of_goal(goal), funnel_url(choice, [*steps, _step_of(goal)])) for goal in goals],
        "is_full": len(steps) >= STEPS[-1],
        "least": STEPS[0],
    }


def _step_of(goal: Goal) -> Filter:
    return Filter(goal.field, goal.operator, (goal.value,))


def _typed_step() -> Filter:
    """What the form names: a page as goals write it (/orders/*), or an event."""
    value = request.args["value"].strip()
    if request.args.get("kind") == "event":
        return read_steps([f"event:is:{value}"])[0]
    operator, pattern = pattern_of(written_page(value))
    return read_steps([f"{PAGE}:{operator.value}:{pattern}"])[0]
