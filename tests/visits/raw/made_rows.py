"""Raw rows at random, and the plain slow way to answer questions about them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import polars as pl

from webapp.extensions import db, driver_connection, tenant
from webapp.visits.backlog import Kind
from webapp.visits.models import RawKind
from webapp.visits.questions import Figures, Filter, Operator, Question
from webapp.visits.raw.chunks import write_chunks
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, PLACE, SOURCE, VISIT_SCHEMA

START = datetime(2026, 3, 27, tzinfo=UTC)
DAYS = 8
PAGES = [f"https://shop.example/{name}" for name in ("", "pricing", "pricing/team", "about", 'it\'s 100% "new"')]
EVENTS = ["signup", "buy", "sign~up/now"]
PRODUCTS = ["SKU-1", "SKU-2"]
KEYS = ["plan", "a/b", "c~d", 'quo"ted']
TEXTS = {
    "referrer": ["", "google.com", "news.example"],
    "channel": ["direct", "search", "news", ""],
    "utm_source": ["", "", "letter"],
    "country": ["DE", "FR", "US", ""],
    "device": ["desktop", "mobile"],
    "browser": ["Firefox", "Chromium"],
}
Row = dict[str, Any]


@dataclass
class Made:
    """Rows as they are written: visits with changes, activity with the number of its visit."""

    activity: list[Row] = field(default_factory=list)
    visits: list[Row] = field(default_factory=list)

    def frame(self, kind: RawKind) -> pl.DataFrame:
        if kind is RawKind.ACTIVITY:
            return pl.DataFrame(self.activity, schema=ACTIVITY_SCHEMA)
        return pl.DataFrame(self.visits, schema=VISIT_SCHEMA)


def make_rows(random: Random, visit_count: int, start: datetime = START, days: float = DAYS) -> Made:
    """Visits of a few visitors, some of which changed after they were written."""
    made = Made()
    for _ in range(visit_count):
        _add_visit(made, random, start, days)
    return made


def write_rows(organisation_id: UUID, site_id: UUID, made: Made, random: Random, chunk_rows: int = 200) -> None:
    """Store the rows in several chunks, in an order of their own."""
    for kind in RawKind:
        frame = made.frame(kind).sample(fraction=1.0, shuffle=True, seed=random.randrange(1000))
        for begin in range(0, frame.height, chunk_rows):
            write_chunk(organisation_id, site_id, kind, frame[begin : begin + chunk_rows])


def write_chunk(organisation_id: UUID, site_id: UUID, kind: RawKind, frame: pl.DataFrame) -> None:
    """Count some rows, in a transaction of their own."""
    with tenant(organisation_id):
        write_chunks(driver_connection(), organisation_id, kind, {site_id: frame})
        db.session.commit()


def make_filters(random: Random) -> tuple[Filter, ...]:
    """Up to three filters, of fields that the rows differ in."""
    return tuple(_make_filter(random) for _ in range(random.choice((0, 1, 1, 2, 2, 3))))


def _make_filter(random: Random) -> Filter:
    name = random.choice([*TEXTS, "page", "entry_page", "exit_page", "event", "product", "property"])
    operator = random.choice(list(Operator))
    choices = {**TEXTS, "event": EVENTS, "product": PRODUCTS, "property": _properties()}.get(name, PAGES)
    values = tuple(random.sample(choices, random.choice((1, 1, 2))))
    if operator is Operator.BEGINS:
        values = tuple(value[: max(1, len(value) - 2)] if name != "property" else value[:-1] for value in values)
    if operator is Operator.CONTAINS and name != "property":
        values = tuple(value[1:-1] for value in values)
    return Filter(name, operator, values)


def _properties() -> list[str]:
    return [f"{event}\x1f{key}\x1f{value}" for event in EVENTS for key in KEYS for value in ("free", "50%")]


def _add_visit(made: Made, random: Random, start: datetime, days: float) -> None:
    began = start + timedelta(seconds=random.randrange(int(days * 86_400)), milliseconds=random.randrange(1000))
    visit, visitor = random.getrandbits(62), random.randrange(-20, 20)
    attributes = {name: random.choice(TEXTS[name]) if name in TEXTS else "x" for name in (*SOURCE, *PLACE)}
    rows = [_activity(random, began, visitor, visit, attributes, index) for index in range(random.choice((1, 1, 2, 5)))]
    made.activity += rows
    states = [_visit(rows[:length], attributes) for length in sorted({random.randint(1, len(rows)), len(rows)})]
    made.visits.append({**states[0], "sign": 1})
    for before, after in pairwise(states):
        made.visits += [{**before, "sign": -1}, {**after, "sign": 1}]


def _activity(random: Random, began: datetime, visitor: int, visit: int, attributes: Row, index: int) -> Row:
    kind = Kind.PAGEVIEW if index == 0 else random.choice(list(Kind)[:4])
    name = {Kind.EVENT: random.choice(EVENTS), Kind.PRODUCT: random.choice(PRODUCTS)}.get(kind, "")
    props = {key: random.choice(("free", "50%")) for key in random.sample(KEYS, random.randrange(3))}
    source = attributes if index == 0 else {**attributes, **dict.fromkeys(SOURCE, "")}
    return {
        "visited_ms": round(began.timestamp() * 1000) + index * 600_000,
        "kind": kind.value,
        "visitor": visitor,
        "visit": visit,
        "is_entry": index == 0,
        "page": random.choice(PAGES),
        **source,
        "name": name,
        "props": json.dumps(props, sort_keys=True) if kind is Kind.EVENT and props else "",
        "engaged_ms": random.randrange(9000) if kind is Kind.ENGAGEMENT else 0,
        "scroll": 0,
    }


def _visit(rows: list[Row], attributes: Row) -> Row:
    pages = [row["page"] for row in rows if row["kind"] == Kind.PAGEVIEW]
    event_count = sum(row["kind"] == Kind.EVENT for row in rows)
    return {
        "started_ms": rows[0]["visited_ms"],
        "visitor": rows[0]["visitor"],
        "visit": rows[0]["visit"],
        "joined": 0,
        "duration_ms": rows[-1]["visited_ms"] - rows[0]["visited_ms"],
        "pageview_count": len(pages),
        "event_count": event_count,
        "is_bounce": len(pages) == 1 and not event_count,
        "entry_page": pages[0],
        "exit_page": pages[-1],
        **attributes,
    }


# The plain way -------------------------------------------------------------------------------------


@dataclass
class Plain:
    """The rows that pass a question's filters, found one by one."""

    activity: list[Row]
    visits: list[Row]

    def figures(self, start: datetime, end: datetime) -> Figures:
        """What is counted in [start, end)."""
        activity = [row for row in self.activity if is_within(row["visited_ms"], start, end)]
        visits = [row for row in self.visits if is_within(row["started_ms"], start, end)]
        return plain_figures(activity, visits)


def plain_figures(activity: Sequence[Row], visits: Sequence[Row]) -> Figures:
    return Figures(
        pageview_count=sum(row["kind"] == Kind.PAGEVIEW for row in activity),
        visit_count=sum(row["sign"] for row in visits),
        visitor_count=len({row["visitor"] for row in activity if row["kind"] != Kind.ENGAGEMENT}),
        bounce_count=sum(row["sign"] for row in visits if row["is_bounce"]),
        visit_ms=sum(row["sign"] * row["duration_ms"] for row in visits),
        event_count=sum(row["kind"] == Kind.EVENT for row in activity),
        engaged_ms=sum(row["engaged_ms"] for row in activity),
    )


def ask_plainly(made: Made, question: Question) -> Plain:
    """The rows of the question's range that pass all of its filters."""
    of_row = [*(found for found in question.filters if found.field == "page"), *question.rows]
    who_did = [_who_did(made, found) for found in question.filters if found.field in ("event", "product", "property")]
    of_visit = [found for found in question.filters if found.field in (*SOURCE, "entry_page", "exit_page")]
    of_place = [found for found in question.filters if found.field in PLACE]
    passing = [row for row in made.activity if all(passes(row, found) for found in of_row)]
    with_row = {row["visit"] for row in passing if row["kind"] != Kind.ENGAGEMENT}
    signs = Counter[int]()
    for row in made.visits:
        signs[row["visit"]] += row["sign"] * all(passes(row, found) for found in of_visit)
    activity = [
        row
        for row in passing
        if all(passes(row, found) for found in of_place) and (not of_visit or signs[row["visit"]] > 0)
        if all(did(row["visit"]) for did in who_did)
    ]
    visits = [
        row
        for row in made.visits
        if all(passes(row, found) for found in (*of_visit, *of_place)) and (not of_row or row["visit"] in with_row)
        if all(did(row["visit"]) for did in who_did)
    ]
    start, end = question.start, question.end
    return Plain(
        [row for row in activity if is_within(row["visited_ms"], start, end)],
        [row for row in visits if is_within(row["started_ms"], start, end)],
    )


def _who_did(made: Made, wanted: Filter) -> Callable[[int], bool]:
    """Whether a visit has a row of what was done, or, with "is not", none."""
    has_not = wanted.operator is Operator.IS_NOT
    done = replace(wanted, operator=Operator.IS) if has_not else wanted
    visits = {row["visit"] for row in made.activity if passes(row, done)}
    return lambda visit: (visit in visits) is not has_not


def is_within(milliseconds: int, start: datetime, end: datetime) -> bool:
    return start.timestamp() * 1000 <= milliseconds < end.timestamp() * 1000


def passes(row: Row, wanted: Filter) -> bool:
    """Whether a row passes one filter."""
    operator = Operator.IS if wanted.operator is Operator.IS_NOT else wanted.operator
    found = any(_has(row, wanted.field, operator, value) for value in wanted.values)
    return found is not (wanted.operator is Operator.IS_NOT)


def _has(row: Row, name: str, operator: Operator, value: str) -> bool:
    if name == "property":
        event, key, wanted = value.split("\x1f")
        props = json.loads(row["props"] or "{}")
        return (
            row["kind"] == Kind.EVENT and row["name"] == event and key in props and _like(props[key], operator, wanted)
        )
    if name in ("event", "product"):
        kind = Kind.EVENT if name == "event" else Kind.PRODUCT
        return row["kind"] == kind and _like(row["name"], operator, value)
    return _like(row[name], operator, value)


def _like(text: str, operator: Operator, value: str) -> bool:
    return {Operator.IS: text == value, Operator.BEGINS: text.startswith(value), Operator.CONTAINS: value in text}[
        operator
    ]


def by_value(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    """Rows by the value of a field."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for value in _values_of(row, name):
            found[value].append(row)
    return found


def _values_of(row: Row, name: str) -> list[str]:
    if name == "property":
        props = json.loads(row["props"] or "{}")
        return [f"{row['name']}\x1f{key}\x1f{value}" for key, value in props.items()]
    if name in ("event", "product"):
        return [row["name"]] if row["kind"] == (Kind.EVENT if name == "event" else Kind.PRODUCT) else []
    return [row[name]]
