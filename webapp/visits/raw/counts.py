"""What is counted of raw rows, in SQL, and how visitors are counted when they are very many. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from webapp.visits.backlog import Kind
from webapp.visits.questions import Figures
from webapp.visits.raw.selection import IS_VISITOR

EXACT_VISITS = 500_000
"""The visitors of so many visits are counted one by one."""
ACTIVITY_COUNTS = f"""
    coalesce(count_if(kind = {Kind.PAGEVIEW.value}), 0) AS pageviews,
    coalesce(count_if(kind = {Kind.EVENT.value}), 0) AS events, coalesce(sum(engaged_ms), 0) AS engaged_ms
"""
VISIT_COUNTS = """
    coalesce(sum(sign), 0), coalesce(sum(sign) FILTER (WHERE is_bounce), 0), coalesce(sum(sign * duration_ms), 0)
"""


def visitor_share(visit_count: int) -> int:
    """One of how many visitors is counted: a power of two, so that few enough visits remain to be exact about."""
    return 1 << max(0, (int(visit_count) - 1) // EXACT_VISITS).bit_length()


def is_counted_visitor(share: int) -> str:
    """Whether a row's visitor is of the share that is counted: numbers are hashes, their last bits choose at random."""
    return f"{IS_VISITOR} AND visitor & {share - 1} = 0" if share > 1 else IS_VISITOR


def count_visitors(share: int) -> str:
    """Distinct visitors among a share of them. With FILTER, DuckDB takes the numbers of all into its table first."""
    return f"count(DISTINCT CASE WHEN {is_counted_visitor(share)} THEN visitor END)"


def figures_of(activity: Sequence[int] | None, visits: Sequence[int] | None, share: int) -> Figures:
    """Figures from a row of ACTIVITY_COUNTS and visitors, and one of VISIT_COUNTS."""
    pageview_count, event_count, engaged_ms, visitor_count = map(int, activity or (0, 0, 0, 0))
    visit_count, bounce_count, visit_ms = map(int, visits or (0, 0, 0))
    return Figures(
        pageview_count=pageview_count,
        visit_count=visit_count,
        visitor_count=visitor_count * share,
        is_estimate=share > 1,
        bounce_count=bounce_count,
        visit_ms=visit_ms,
        event_count=event_count,
        engaged_ms=engaged_ms,
    )
