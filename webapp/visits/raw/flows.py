"""What visits saw before and after a page, from raw rows.

Each visit that began in the range and passes the filters is followed once: from where it first saw the page, or from
its beginning. A page that is loaded again at once is one step.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.questions import Filter, Question
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import Parameters, row_condition

STEPS = range(1, 4)
BEFORE, AFTER, ENTERED = "before", "after", "entered"


@dataclass(frozen=True)
class Came:
    """How many visits saw a page (or, where they entered, had a referrer) at one step."""

    value: str
    visit_count: int


@dataclass(frozen=True)
class FlowStep:
    """One step away from the page: what was seen there, and the visits that have no such step.

    Before the page those had entered, by their referrer; after it they had left. All of a step's visits together are
    those that saw a page one step nearer. `other_count` and `other_entered_count` are what the lists leave out.
    """

    pages: tuple[Came, ...] = ()
    other_count: int = 0
    entered: tuple[Came, ...] = ()
    other_entered_count: int = 0
    left_count: int = 0

    @property
    def entered_count(self) -> int:
        return sum(came.visit_count for came in self.entered) + self.other_entered_count

    @property
    def page_count(self) -> int:
        """Visits that saw a page at this step."""
        return sum(came.visit_count for came in self.pages) + self.other_count

    @property
    def visit_count(self) -> int:
        """Visits that come from or go to this step, those that end there included."""
        return self.page_count + self.entered_count + self.left_count


@dataclass(frozen=True)
class Flow:
    """Steps before and after the page, the nearest first."""

    visit_count: int
    before: tuple[FlowStep, ...]
    after: tuple[FlowStep, ...]


Counted = dict[tuple[str, int], dict[str | None, int]]


def flow(question: Question, centre: Filter | None, step_count: int, limit: int) -> Flow:
    """What visits saw so many steps before and after they first saw a page; without one, from when they entered.

    Each step lists at most `limit` pages and referrers.
    """
    if step_count not in STEPS:
        raise ValueError(f"A flow has {STEPS[0]} to {STEPS[-1]} steps.")
    return read(question, lambda reading: _flow(reading, centre, step_count, limit))


def _flow(reading: Reading, centre: Filter | None, step_count: int, limit: int) -> Flow:
    counted: Counted = defaultdict(dict)
    for what, step, value, count in _ask(reading, centre, step_count, limit):
        counted[what, step][value] = int(count)
    steps = range(1, step_count + 1)
    whole = sum(counted["whole", 0].values())
    return Flow(
        whole,
        tuple(_step_before(counted, step) for step in steps),
        tuple(_step_after(counted, step, whole) for step in steps),
    )


def _ask(reading: Reading, centre: Filter | None, step_count: int, limit: int) -> list[tuple[Any, ...]]:
    selection, parameters = reading.selection, Parameters()
    views = selection.rows_of_visits(parameters, IS_PAGEVIEW)
    here = row_condition(centre, parameters) if centre else ""
    known = {"visits": selection.standing_visits(parameters), "views": views, "steps": step_count}
    known["limit"] = parameters.add(limit)
    if centre is None:
        return reading.rows(FROM_ENTRY.format(**known, nearest=f"WHERE nth <= {step_count}"), parameters)
    hits = selection.rows_of_visits(parameters, f"{IS_PAGEVIEW} AND {here}")
    return reading.rows(AROUND_PAGE.format(**known, hits=hits, here=here, nearest=""), parameters)


def _step_before(counted: Counted, step: int) -> FlowStep:
    pages, entered = counted[BEFORE, step], counted[ENTERED, step]
    return FlowStep(_listed(pages), pages.get(None, 0), _listed(entered), entered.get(None, 0))


def _step_after(counted: Counted, step: int, whole: int) -> FlowStep:
    """Who saw a page one step nearer and none here has left."""
    pages, nearer = counted[AFTER, step], counted[AFTER, step - 1] if step > 1 else {"": whole}
    left_count = sum(nearer.values()) - sum(pages.values())
    return FlowStep(_listed(pages), pages.get(None, 0), left_count=left_count)


def _listed(counts: dict[str | None, int]) -> tuple[Came, ...]:
    """Those with a value, the most frequent first."""
    found = [Came(value, count) for value, count in counts.items() if value is not None]
    return tuple(sorted(found, key=lambda came: (-came.visit_count, came.value)))


IS_PAGEVIEW = f"kind = {Kind.PAGEVIEW.value}"
ORDERED = """
    views AS (SELECT here.visit, visited_ms, page FROM {views} AS rows JOIN here ON here.number = rows.visit),
    turned AS MATERIALIZED (
        SELECT visit, page, row_number() OVER turn AS nth, lag(page) OVER turn IS NOT DISTINCT FROM page AS is_again
        FROM views WINDOW turn AS (PARTITION BY visit ORDER BY visited_ms, hash(page))
    ),
    again AS MATERIALIZED (SELECT DISTINCT visit FROM turned WHERE is_again),
    steps AS MATERIALIZED (
        SELECT visit, page, nth AS place FROM turned ANTI JOIN again USING (visit) {nearest}
        UNION ALL
        SELECT visit, page, row_number() OVER (PARTITION BY visit ORDER BY nth)
        FROM (SELECT * FROM turned SEMI JOIN again USING (visit) WHERE NOT is_again)
    )
"""
"""The pages of visits in their order. Few visits load a page again: only those are numbered twice."""
COUNTED = """
    counts AS (
        SELECT CASE WHEN step < 0 THEN 'before' ELSE 'after' END AS what, abs(step) AS step, page AS value,
            count(*) AS visits
        FROM away GROUP BY ALL
        UNION ALL
        SELECT 'entered', step, referrer, count(*) FROM begun JOIN here ON here.number = begun.visit GROUP BY ALL
        UNION ALL
        SELECT 'whole', 0, '', whole FROM whole
    )
    SELECT what, step, CASE WHEN nth <= {limit} THEN value END, sum(visits) FROM (
        SELECT *, row_number() OVER (PARTITION BY what, step ORDER BY visits DESC, value) AS nth FROM counts
    ) GROUP BY ALL
"""
FROM_ENTRY = f"""
    WITH {{visits}}, here AS (SELECT * FROM standing), {ORDERED},
    away AS (SELECT place AS step, page FROM steps WHERE place <= {{steps}}),
    begun AS (SELECT visit, 1 AS step FROM steps WHERE place = 1),
    whole AS (SELECT count(*) AS whole FROM steps WHERE place = 1),
    {COUNTED}
"""
AROUND_PAGE = f"""
    WITH {{visits}}, hits AS MATERIALIZED (SELECT DISTINCT visit AS number FROM {{hits}}),
    here AS MATERIALIZED (
        SELECT * FROM standing SEMI JOIN (SELECT visit FROM standing SEMI JOIN hits USING (number)) USING (visit)
    ), {ORDERED},
    centres AS MATERIALIZED (SELECT visit, min(place) AS centre FROM steps WHERE {{here}} GROUP BY visit),
    away AS (
        SELECT place - centre AS step, page FROM steps JOIN centres USING (visit)
        WHERE place <> centre AND abs(place - centre) <= {{steps}}
    ),
    begun AS (SELECT visit, centre AS step FROM centres WHERE centre <= {{steps}}),
    whole AS (SELECT count(*) AS whole FROM centres),
    {COUNTED}
"""
