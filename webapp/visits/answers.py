"""Who answers a question: roll-ups, wherever they hold the answer, or else the raw rows.

Roll-ups hold a site's quarters of an hour, and the days and months of its own zone for everything else. Filters, hours
of pages, foreign zones and parts of days are for the raw rows. An answer is kept until something in its range changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from webapp.lib.clock import utc_now
from webapp.visits import rolled_up
from webapp.visits.buckets import QUARTER_MS, local_midnight
from webapp.visits.kept_answers import KEPT
from webapp.visits.page_points import list_page_points
from webapp.visits.questions import Figures, Overview, PagePoints, Question, Summary, Value
from webapp.visits.raw import engine
from webapp.visits.stamps import stamp_of


def totals(question: Question) -> Figures:
    """What is counted of the whole range."""
    return KEPT.get(("totals", question, stamp_of(question)), lambda: _totals(question), lambda _: 1)


def points(question: Question, edges: Sequence[datetime]) -> list[Figures]:
    """What is counted of each bucket between the edges, empty ones too."""
    key = ("points", question, tuple(edges), stamp_of(question))
    return KEPT.get(key, lambda: _points(question, edges), _count)


def breakdown(question: Question, field: str, limit: int) -> list[Value]:
    """The values of a field that are most counted."""
    key = ("breakdown", question, field, limit, stamp_of(question))
    return KEPT.get(key, lambda: _breakdown(question, field, limit), _count)


def summary(question: Question, edges: Sequence[datetime], until: datetime) -> Summary:
    """The buckets between the edges, and what is counted of the range before a moment."""
    wide = replace(question, start=min(question.start, edges[0]), end=max(question.end, edges[-1]))
    key = ("summary", question, tuple(edges), until, stamp_of(wide))
    return KEPT.get(key, lambda: _summary(question, edges, until), lambda found: len(found.points))


def overview(question: Question, edges: Sequence[datetime], fields: Sequence[str], limit: int) -> Overview:
    """The buckets between the edges, what is counted of the range, and the values of fields that are most counted."""
    wide = replace(question, start=min(question.start, edges[0]), end=max(question.end, edges[-1]))
    key = ("overview", question, tuple(edges), tuple(fields), limit, stamp_of(wide))
    return KEPT.get(key, lambda: _overview(question, edges, fields, limit), _size_of_overview)


def most_visited(question: Question, field: str, limit: int) -> list[Value]:
    """The values of a field that most visitors have, of which nothing but the visitors is told; always of raw rows."""
    key = ("most_visited", question, field, limit, stamp_of(question))
    return KEPT.get(key, lambda: engine.most_visited(question, field, limit), _count)


def visitors_by(question: Question, field: str) -> list[Value]:
    """The values of a place with the events that were done there, and by how many visitors."""
    key = ("visitors_by", question, field, stamp_of(question))
    return KEPT.get(key, lambda: engine.visitors_by(question, field), _count)


def page_points(question: Question, edges: Sequence[datetime], points_limit: int) -> PagePoints:
    """For each page the buckets in which it was seen, and how often; raises TooManyPointsError.

    It is large, and never kept. Days and months come from roll-ups, where they are cut in the zone of the edges;
    anything else from raw rows.
    """
    if not question.is_filtered and (found := list_page_points(question, edges, points_limit)) is not None:
        return found
    return engine.page_points(question, edges, points_limit)


def _totals(question: Question) -> Figures:
    if question.is_filtered or not _are_quarters((question.start, question.end)):
        return engine.totals(question)
    return rolled_up.totals(question)


def _points(question: Question, edges: Sequence[datetime]) -> list[Figures]:
    if question.is_filtered or not _are_quarters(edges):
        return engine.points(question, edges)
    return rolled_up.points(question, edges)


def _summary(question: Question, edges: Sequence[datetime], until: datetime) -> Summary:
    if question.is_filtered and edges[0] == question.start:
        return engine.summary(replace(question, end=max(edges[-1], until)), edges, until)
    buckets = replace(question, start=edges[0], end=edges[-1])
    return Summary(_totals(replace(question, end=until)), _points(buckets, edges))


def _overview(question: Question, edges: Sequence[datetime], fields: Sequence[str], limit: int) -> Overview:
    if not question.is_filtered:
        lists = {field: _breakdown(question, field, limit) for field in fields}
        return Overview(_summary(question, edges, question.end), lists)
    if edges[0] == question.start and (edges[-1] <= question.end or utc_now() <= question.end):
        return engine.overview(question, edges, fields, limit)  # nothing is counted that lies in the future
    whole = engine.overview(question, (question.start, question.end), fields, limit)
    buckets = engine.points(replace(question, start=edges[0], end=edges[-1]), edges)
    return Overview(Summary(whole.summary.total, buckets), whole.lists)


def _breakdown(question: Question, field: str, limit: int) -> list[Value]:
    if question.is_filtered or not _is_whole_days(question):
        return engine.breakdown(question, field, limit)
    return rolled_up.breakdown(question, field, limit)


def _count(found: Sequence[object]) -> int:
    return len(found)


def _size_of_overview(found: Overview) -> int:
    return len(found.summary.points) + sum(map(len, found.lists.values()))


def _are_quarters(moments: Sequence[datetime]) -> bool:
    return all(int(moment.timestamp() * 1000) % QUARTER_MS == 0 for moment in moments)


def _is_whole_days(question: Question) -> bool:
    """Whether the range begins and ends at a midnight of every site."""
    return all(
        local_midnight(moment.astimezone(zone).date(), zone) == moment
        for zone in set(rolled_up.zones_of(question).values())
        for moment in (question.start, question.end)
    )
