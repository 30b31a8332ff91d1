"""Whole lists with a search, and every table as a file."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, abort, request
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits import answers
from webapp.visits.models import Site
from webapp.visits.periods import utc_iso
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.fields import LABELS, plural
from webapp.visits.site_page.figures import list_buckets
from webapp.visits.site_page.filters import chips_of
from webapp.visits.site_page.lists import WHOLE_LIMIT, Line, columns_of, list_lines
from webapp.visits.site_page.numbers import METRICS
from webapp.visits.site_page.tables import Cell, as_csv, as_json
from webapp.visits.site_page.views import find_site
from webapp.visits.views import visits

PAGE_SIZE = 100


@visits.get("/lists/<field>")
def show_list(field: str) -> ResponseReturnValue:
    """All values of a field, a page at a time, searched by their text."""
    choice = _read_choice(field)
    lines = _lines(choice, field)
    page = max(1, request.args.get("page", 1, type=int))
    shown = lines[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    searched = request.args.get("q", "")
    return render_page(
        "visits/list.html",
        block="lines",
        choice=choice,
        field=field,
        title=plural(field),
        label=LABELS[field],
        columns=columns_of(field),
        lines=shown,
        line_count=len(lines),
        first=(page - 1) * PAGE_SIZE + 1,
        is_cut=len(lines) >= WHOLE_LIMIT,
        searched=searched,
        chips=chips_of(choice.filters),
        previous_url=_page_url(choice, field, searched, page - 1) if page > 1 else None,
        next_url=_page_url(choice, field, searched, page + 1) if len(lines) > page * PAGE_SIZE else None,
    )


@visits.get("/lists/<field>/csv")
def list_csv(field: str) -> Response:
    """The whole list as a file of CSV."""
    choice = _read_choice(field)
    return _csv(plural(field).lower().replace(" ", "-"), *_list_table(choice, field))


@visits.get("/lists/<field>/json")
def list_json(field: str) -> Response:
    """The whole list as JSON."""
    choice = _read_choice(field)
    return _json(plural(field).lower().replace(" ", "-"), *_list_table(choice, field))


@visits.get("/numbers/csv")
def numbers_csv() -> Response:
    """The chart's numbers as a file of CSV."""
    return _csv("visits", *_numbers_table(read_choice(_site(), request.args, utc_now())))


@visits.get("/numbers/json")
def numbers_json() -> Response:
    """The chart's numbers as JSON."""
    return _json("visits", *_numbers_table(read_choice(_site(), request.args, utc_now())))


def _site() -> Site:
    return find_site(request.args.get("site", ""))


def _read_choice(field: str) -> Choice:
    if field not in LABELS:
        abort(404)
    return read_choice(find_site(request.args.get("site", "")), request.args, utc_now())


def _lines(choice: Choice, field: str) -> list[Line]:
    """Those whose text holds what is searched."""
    lines = list_lines(choice, field, answers.totals(choice.question()), WHOLE_LIMIT)
    searched = request.args.get("q", "").casefold()
    return [line for line in lines if searched in line.label.casefold() or searched in line.value.casefold()]


def _page_url(choice: Choice, field: str, searched: str, page: int) -> str:
    return choice.url("visits.show_list", field=field, q=searched, page=page if page > 1 else None)


def _list_table(choice: Choice, field: str) -> tuple[list[str], list[list[Cell]]]:
    columns = columns_of(field)
    rows: list[list[Cell]] = [
        [line.value, *(column.work_out(line.figures) for column in columns)] for line in _lines(choice, field)
    ]
    return [field, *(column.name for column in columns)], rows


def _numbers_table(choice: Choice) -> tuple[list[str], list[list[Cell]]]:
    rows: list[list[Cell]] = [
        [utc_iso(bucket.starts_at), *(metric.work_out(bucket.figures) for metric in METRICS.values())]
        for bucket in list_buckets(choice)
    ]
    return ["starts_at", *METRICS], rows


def _csv(name: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Response:
    return _file(as_csv(header, rows), "text/csv; charset=utf-8", f"{name}.csv")


def _json(name: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Response:
    return _file(as_json(header, rows), "application/json", f"{name}.json")


def _file(content: str | bytes, content_type: str, name: str) -> Response:
    response = Response(content, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
