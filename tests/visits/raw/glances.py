"""What an overview tells of the values of a list."""

from __future__ import annotations

from collections.abc import Sequence

from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, PAGE, Figures, Value
from webapp.visits.raw.frames import SOURCE


def at_a_glance(field: str, values: Sequence[Value]) -> list[Value]:
    """Of pages their views, of sources, entries and exits their visits, and everything of others."""
    if field == PAGE:
        return [Value(one.value, Figures(pageview_count=one.figures.pageview_count)) for one in values]
    if field in {ENTRY_PAGE, EXIT_PAGE, *SOURCE}:
        return [Value(one.value, Figures(visit_count=one.figures.visit_count)) for one in values]
    return list(values)
