"""The page of journeys from and to a page, and its files, for members and for whoever has a link."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, redirect, request
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits import answers, queries
from webapp.visits.questions import PAGE
from webapp.visits.raw.flows import STEPS
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.fields import OTHER
from webapp.visits.site_page.filters import BadFilterError
from webapp.visits.site_page.flows import (
    ENDPOINT,
    HEADER,
    LINES,
    USUAL_STEPS,
    Place,
    can_follow,
    get_flow,
    list_rows,
    list_stages,
    read_place,
)
from webapp.visits.site_page.lists import spelled_page
from webapp.visits.site_page.numbers import per_cent
from webapp.visits.site_page.tables import as_csv, as_json
from webapp.visits.site_page.views import find_site, toolbar_context, with_comparison
from webapp.visits.table_files import FileKind, table_file
from webapp.visits.views import visits

FILE_LINES = 1_000
OFFERED_PAGES = 50


@visits.get("/journeys")
def show_journeys() -> ResponseReturnValue:
    """What visits saw before and after a page, or from where they entered."""
    return journeys_page(_read_choice())


@visits.get("/journeys/csv")
def journeys_csv() -> Response:
    """All steps as a file of CSV."""
    return journeys_file(_read_choice(), as_csv)


@visits.get("/journeys/json")
def journeys_json() -> Response:
    """All steps as JSON."""
    return journeys_file(_read_choice(), as_json)


def journeys_page(choice: Choice) -> ResponseReturnValue:
    """The page, or its figures alone."""
    error = choice.error
    try:
        place = read_place(request.args)
    except BadFilterError as problem:
        place, error = Place("", USUAL_STEPS), str(problem)
    if request.args.get("value"):
        return redirect(with_comparison(choice).url(ENDPOINT, **place.arguments()), code=303)
    context = {**_frame(choice, place), **(_shown(choice, place) if can_follow(choice) else {})}
    status = 422 if error else 200
    return render_page("visits/journeys.html", block="figures", status=status, error=error, **context)


def journeys_file(choice: Choice, write: FileKind) -> Response:
    """The steps as a file; an address that asks for what cannot be is no file."""
    try:
        place = read_place(request.args)
    except BadFilterError as problem:
        abort(422, str(problem))
    if not can_follow(choice):
        abort(404)
    return table_file(write, "journeys", HEADER, list_rows(get_flow(choice, place, FILE_LINES)))


def _read_choice() -> Choice:
    return read_choice(find_site(request.args.get("site", "")), request.args, utc_now())


def _frame(choice: Choice, place: Place) -> dict[str, Any]:
    """What the page shows around the journeys."""
    return {
        **toolbar_context(choice, ENDPOINT, **place.arguments()),
        "place": place,
        "depths": [(step, choice.url(ENDPOINT, **place.arguments(steps=step))) for step in STEPS],
        "can_follow": can_follow(choice),
        "is_heard": queries.has_pageviews(choice.organisation_id, [choice.site.id]),
    }


def _shown(choice: Choice, place: Place) -> dict[str, Any]:
    flow = get_flow(choice, place, LINES)
    whole = answers.totals(choice.question()).visit_count
    return {
        "stages": list_stages(choice, place, flow),
        "visit_count": flow.visit_count,
        "share": per_cent(flow.visit_count / whole) if whole else "",
        "offered": _offered(choice),
    }


def _offered(choice: Choice) -> list[str]:
    """The pages seen most, to choose from: those of all filters of one's own."""
    values = answers.breakdown(choice.with_filters(()).question(), PAGE, OFFERED_PAGES)
    spelled = [(value.value, *spelled_page(choice, value.value)) for value in values if value.value != OTHER]
    return [value if note else label for value, label, note in spelled]
