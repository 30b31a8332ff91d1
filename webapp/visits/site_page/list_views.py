"""Whole lists with a search, and every table as a file."""

from __future__ import annotations

from datetime import datetime

from flask import Response, abort, request
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits import answers
from webapp.visits.periods import utc_iso
from webapp.visits.questions import Figures, Summary
from webapp.visits.site_page.chart import Bucket
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.fields import LABELS, plural
from webapp.visits.site_page.figures import get_compared, list_buckets, with_told_events
from webapp.visits.site_page.filters import chips_of
from webapp.visits.site_page.lists import (
    VISITORS,
    VISITORS_LIMIT,
    WHOLE_LIMIT,
    WITH_VISITORS,
    Line,
    columns_of,
    list_lines,
    list_visitor_lines,
)
from webapp.visits.site_page.numbers import Metric
from webapp.visits.site_page.people_links import has_people, people_url_of_line
from webapp.visits.site_page.tables import Cell, as_csv, as_json
from webapp.visits.site_page.views import find_site
from webapp.visits.table_files import FileKind, table_file
from webapp.visits.views import visits

PAGE_SIZE = 100
COUNT_VISITORS = "visitors"


@visits.get("/lists/<field>")
def show_list(field: str) -> ResponseReturnValue:
    """All values of a field, a page at a time, searched by their text."""
    return list_page(_read_choice(), field)


@visits.get("/lists/<field>/csv")
def list_csv(field: str) -> Response:
    """The whole list as a file of CSV."""
    return list_file(_read_choice(), field, as_csv)


@visits.get("/lists/<field>/json")
def list_json(field: str) -> Response:
    """The whole list as JSON."""
    return list_file(_read_choice(), field, as_json)


@visits.get("/numbers/csv")
def numbers_csv() -> Response:
    """The chart's numbers as a file of CSV."""
    return numbers_file(_read_choice(), as_csv)


@visits.get("/numbers/json")
def numbers_json() -> Response:
    """The chart's numbers as JSON."""
    return numbers_file(_read_choice(), as_json)


def list_page(choice: Choice, field: str) -> Response:
    """A page of the whole list."""
    lines = _lines(choice, field)
    page = max(1, request.args.get("page", 1, type=int))
    searched = request.args.get("q", "")
    return render_page(
        "visits/list.html",
        block="lines",
        choice=choice,
        field=field,
        title=plural(field),
        label=LABELS[field],
        columns=_columns(field),
        lines=lines[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
        people_url_of=lambda line: people_url_of_line(choice, line),
        has_people=has_people(choice, field),
        line_count=len(lines),
        first=(page - 1) * PAGE_SIZE + 1,
        is_cut=len(lines) >= (VISITORS_LIMIT if counts_visitors() else WHOLE_LIMIT),
        counts_visitors=counts_visitors(),
        usual_label=columns_of(field)[0].label,
        can_count_visitors=field not in WITH_VISITORS,
        is_estimate=any(line.figures.is_estimate for line in lines),
        visitors_url=choice.url("visits.show_list", field=field, q=searched, count=COUNT_VISITORS),
        usual_url=choice.url("visits.show_list", field=field, q=searched),
        searched=searched,
        chips=chips_of(choice.filters),
        previous_url=_page_url(choice, field, searched, page - 1) if page > 1 else None,
        next_url=_page_url(choice, field, searched, page + 1) if len(lines) > page * PAGE_SIZE else None,
    )


def list_file(choice: Choice, field: str, write: FileKind) -> Response:
    """The whole list as a file."""
    columns = _columns(field)
    rows: list[list[Cell]] = [
        [line.value, *(column.work_out(line.figures) for column in columns)] for line in _lines(choice, field)
    ]
    name = plural(field).lower().replace(" ", "-")
    return table_file(write, name, [field, *(column.name for column in columns)], rows)


def numbers_file(choice: Choice, write: FileKind) -> Response:
    """The chart's numbers as a file, each bucket with the one that it is compared with."""
    edges = choice.period.edges(choice.aggregation)
    question = choice.question(edges[0], edges[-1])
    counted = Summary(Figures(), answers.points(question, edges))
    told = with_told_events(choice, counted, question, edges, question.end)
    buckets = list_buckets(choice, told.points, get_compared(choice, utc_now()))
    names = [metric.name for metric in choice.metrics]
    header = ["starts_at", *names]
    if choice.compared:
        header += ["compared_starts_at", *(f"compared_{name}" for name in names)]
    rows = [[*_row(choice, bucket.starts_at, bucket.figures), *_compared_row(choice, bucket)] for bucket in buckets]
    return table_file(write, "visits", header, rows)


def _compared_row(choice: Choice, bucket: Bucket) -> list[Cell]:
    """Nothing in each cell where the compared period is the shorter one."""
    if choice.compared is None:
        return []
    if bucket.compared_at is None or bucket.compared is None:
        return [None] * (1 + len(choice.metrics))
    return _row(choice, bucket.compared_at, bucket.compared)


def _row(choice: Choice, starts_at: datetime, figures: Figures) -> list[Cell]:
    return [utc_iso(starts_at), *(metric.work_out(figures) for metric in choice.metrics)]


def counts_visitors() -> bool:
    """Whether the address asks for the visitors of each value, which takes longer than what is counted usually."""
    return request.args.get("count") == COUNT_VISITORS


def _columns(field: str) -> tuple[Metric, ...]:
    """What is said of each value of a field that there is."""
    if field not in LABELS:
        abort(404)
    return (VISITORS,) if counts_visitors() else columns_of(field)


def _read_choice() -> Choice:
    return read_choice(find_site(request.args.get("site", "")), request.args, utc_now())


def _lines(choice: Choice, field: str) -> list[Line]:
    """Those whose text holds what is searched."""
    _columns(field)
    if not choice.tells(field):
        abort(404)
    total = answers.totals(choice.question())
    lines = (
        list_visitor_lines(choice, field, total) if counts_visitors() else list_lines(choice, field, total, WHOLE_LIMIT)
    )
    searched = request.args.get("q", "").casefold()
    return [line for line in lines if searched in line.label.casefold() or searched in line.value.casefold()]


def _page_url(choice: Choice, field: str, searched: str, page: int) -> str:
    count = COUNT_VISITORS if counts_visitors() else None
    return choice.url("visits.show_list", field=field, q=searched, count=count, page=page if page > 1 else None)
