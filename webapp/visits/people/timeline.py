"""What one person did on the organisation's websites: their visits, the newest first, with what they did in each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.visits.backlog import Kind
from webapp.visits.people.reading import Person, own_activity, own_visits, rows_by_name
from webapp.visits.people.spans import Span
from webapp.visits.raw.frames import ATTRIBUTES
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import Parameters

PAGE_SIZE = 20
DOINGS_LIMIT = 200
"""Rows that are shown of one visit."""
TOTALS = ("started_ms", "visitor", "visit", "duration_ms", "pageview_count", "event_count")
COLUMNS = (*TOTALS, "entry_page", "exit_page", *ATTRIBUTES)
STEP = timedelta(milliseconds=1)
LAST_NUMBER = 2**63 - 1
Place = tuple[datetime, int]
"""When a visit began, and its number."""


@dataclass(frozen=True)
class Doing:
    """A page that was seen, an event, or a product that was looked at."""

    at: datetime
    kind: Kind
    page: str
    name: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    engaged_ms: int = 0


@dataclass(frozen=True)
class PersonVisit:
    """One visit of somebody."""

    site_id: UUID
    visit: int
    visitor: int
    started_at: datetime
    duration: timedelta
    pageview_count: int
    event_count: int
    entry_page: str
    exit_page: str
    attributes: Mapping[str, str]
    doings: tuple[Doing, ...] = ()
    hidden_count: int = 0
    """How much more there was than is shown."""

    @property
    def ended_at(self) -> datetime:
        return self.started_at + self.duration


@dataclass(frozen=True)
class Timeline:
    """Some visits, the cursor of those before, and since when that one has not looked yet if it has not all."""

    visits: tuple[PersonVisit, ...]
    next_cursor: str | None = None
    looked_since: datetime | None = None


def list_visits(person: Person, cursor: str | None = None, limit: int = PAGE_SIZE) -> Timeline:
    """The newest visits, or those before the cursor; raises BadCursorError.

    A request that has read its share of rows says how far it got: then there may be more before that.
    """
    before = _place(cursor) if cursor else None
    if not person.links:
        return Timeline(())
    spans = person.spans(before[0] + STEP if before else None)
    found = _find(person, spans, before, limit + 1)
    visits = _with_doings(person, _made(person, found[:limit]))
    if len(found) > limit:
        return Timeline(visits, _cursor_of(visits[-1]))
    if spans and person.spans(spans[-1].start):
        since = spans[-1].start
        return Timeline(visits, encode_cursor((since - STEP).isoformat(), UUID(int=LAST_NUMBER)), since)
    return Timeline(visits)


def _find(person: Person, spans: Sequence[Span], before: Place | None, most: int) -> list[dict[str, Any]]:
    """The newest rows of visits, span by span until there are enough."""
    found: list[dict[str, Any]] = []
    for span in spans:
        if len(found) < most:
            found += person.ask(span.start, span.end, partial(_visits, person, before, most - len(found)))
    return found


def _visits(person: Person, before: Place | None, most: int, reading: Reading) -> list[dict[str, Any]]:
    parameters = Parameters()
    condition = ""
    if before:
        place = (parameters.add(_milliseconds(before[0])), parameters.add(before[1]))
        condition = f"WHERE (started_ms, visit) < ({place[0]}, {place[1]})"
    statement = f"""
        SELECT {", ".join(COLUMNS)} FROM {own_visits(person, reading, parameters)} {condition}
        ORDER BY started_ms DESC, visit DESC LIMIT {parameters.add(most)}
    """
    return list(rows_by_name(COLUMNS, reading.rows(statement, parameters)))


def _made(person: Person, rows: Sequence[Mapping[str, Any]]) -> list[PersonVisit]:
    sites = {link.visitor: link.site_id for link in person.links}
    return [
        PersonVisit(
            sites[row["visitor"]],
            row["visit"],
            row["visitor"],
            _moment(row["started_ms"]),
            timedelta(milliseconds=row["duration_ms"]),
            row["pageview_count"],
            row["event_count"],
            row["entry_page"],
            row["exit_page"],
            {name: row[name] for name in ATTRIBUTES},
        )
        for row in rows
    ]


def _with_doings(person: Person, visits: list[PersonVisit]) -> tuple[PersonVisit, ...]:
    """All activity of a visitor between a visit's start and end is that visit's."""
    if not visits:
        return ()
    start, end = min(visit.started_at for visit in visits), max(visit.ended_at for visit in visits) + STEP
    rows = person.ask(start, end, partial(_doings, person, visits))
    by_visit: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_visit[row["number"]].append(row)
    return tuple(_with(visit, by_visit[number]) for number, visit in enumerate(visits))


DOINGS = ("number", "visited_ms", "kind", "page", "name", "props", "engaged_ms", "row_count")


def _doings(person: Person, visits: Sequence[PersonVisit], reading: Reading) -> list[dict[str, Any]]:
    parameters = Parameters()
    columns = {
        "number": list(range(len(visits))),
        "visitor": [visit.visitor for visit in visits],
        "start_ms": [_milliseconds(visit.started_at) for visit in visits],
        "end_ms": [_milliseconds(visit.ended_at) for visit in visits],
    }
    shown = ", ".join(f"unnest({parameters.add(values)}::BIGINT[]) AS {name}" for name, values in columns.items())
    statement = f"""
        WITH shown AS (SELECT {shown}), own AS (SELECT * FROM {own_activity(person, reading, parameters)})
        SELECT number, visited_ms, kind, page, name, props, engaged_ms, count(*) OVER (PARTITION BY number)
        FROM own JOIN shown ON own.visitor = shown.visitor AND visited_ms BETWEEN start_ms AND end_ms
        QUALIFY row_number() OVER (PARTITION BY number ORDER BY visited_ms, kind) <= {DOINGS_LIMIT}
        ORDER BY number, visited_ms, kind
    """
    return list(rows_by_name(DOINGS, reading.rows(statement, parameters)))


def _with(visit: PersonVisit, rows: Sequence[Mapping[str, Any]]) -> PersonVisit:
    hidden_count = rows[0]["row_count"] - len(rows) if rows else 0
    return replace(visit, doings=tuple(_told(rows)), hidden_count=hidden_count)


def _told(rows: Sequence[Mapping[str, Any]]) -> list[Doing]:
    """Engagement is said beside the page that it is about, if that was seen before."""
    doings: list[Doing] = []
    for row in rows:
        kind = Kind(row["kind"])
        if kind is not Kind.ENGAGEMENT:
            properties = json.loads(row["props"]) if row["props"] else {}
            doings.append(Doing(_moment(row["visited_ms"]), kind, row["page"], row["name"], properties))
            continue
        for index in range(len(doings) - 1, -1, -1):
            if doings[index].kind is Kind.PAGEVIEW and doings[index].page == row["page"]:
                doings[index] = replace(doings[index], engaged_ms=doings[index].engaged_ms + row["engaged_ms"])
                break
    return doings


def _cursor_of(visit: PersonVisit) -> str:
    return encode_cursor(visit.started_at.isoformat(), UUID(int=visit.visit % 2**64))


def _place(cursor: str) -> Place:
    text, number = decode_cursor(cursor)
    try:
        moment = datetime.fromisoformat(text)
        moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise BadCursorError("This page link is damaged. Start again from the first page.") from error
    if moment.tzinfo is None or not 1970 < moment.year < 2200 or number.int >= 2**64:
        raise BadCursorError("This page link is damaged. Start again from the first page.")
    return moment, number.int - 2**64 if number.int >= 2**63 else number.int


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
