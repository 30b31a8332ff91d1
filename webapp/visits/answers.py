"""Who answers a question: roll-ups, wherever they hold the answer, or else the raw rows.

Roll-ups hold a site's quarters of an hour, and the days and months of its own zone for everything else. Filters, hours
of pages, foreign zones and parts of days are for the raw rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from webapp.visits import rolled_up
from webapp.visits.buckets import QUARTER_MS, local_midnight
from webapp.visits.questions import Figures, Question, Value
from webapp.visits.raw import engine


def totals(question: Question) -> Figures:
    """What is counted of the whole range."""
    if question.filters or not _are_quarters((question.start, question.end)):
        return engine.totals(question)
    return rolled_up.totals(question)


def points(question: Question, edges: Sequence[datetime]) -> list[Figures]:
    """What is counted of each bucket between the edges, empty ones too."""
    if question.filters or not _are_quarters(edges):
        return engine.points(question, edges)
    return rolled_up.points(question, edges)


def breakdown(question: Question, field: str, limit: int) -> list[Value]:
    """The values of a field that are most counted."""
    if question.filters or not _is_whole_days(question):
        return engine.breakdown(question, field, limit)
    return rolled_up.breakdown(question, field, limit)


def _are_quarters(moments: Sequence[datetime]) -> bool:
    return all(int(moment.timestamp() * 1000) % QUARTER_MS == 0 for moment in moments)


def _is_whole_days(question: Question) -> bool:
    """Whether the range begins and ends at a midnight of every site."""
    return all(
        local_midnight(moment.astimezone(zone).date(), zone) == moment
        for zone in set(rolled_up.zones_of(question).values())
        for moment in (question.start, question.end)
    )
