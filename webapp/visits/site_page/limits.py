"""What a link limited to some pages, events or products may tell: nothing else that its visits saw or did. Pure.

A filter by pages lets rows of those pages pass, so lists of rows tell nothing else; where a visit entered or left is
no such row. Filters by events, properties and products let whole visits pass: then no list of pages is told, and of
what was done only what the link is limited to. What is not told can't be asked for by a filter either.
"""

from __future__ import annotations

from collections.abc import Sequence

from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, PAGE, Filter
from webapp.visits.raw.row_conditions import NAMED_KINDS
from webapp.visits.site_page.fields import EVENT_FIELDS, ROW_FIELDS


def is_narrow(locked: Sequence[Filter]) -> bool:
    """Whether a link is limited by what single rows of visits have."""
    return any(one.field in ROW_FIELDS for one in locked)


def is_told(locked: Sequence[Filter], field: str) -> bool:
    """Whether a list of this field tells no more than the link is about."""
    if not is_narrow(locked) or field not in {*ROW_FIELDS, ENTRY_PAGE, EXIT_PAGE}:
        return True
    done = [one.field for one in locked if one.field in EVENT_FIELDS]
    if field in EVENT_FIELDS:
        return not done or bool(rows_told(locked, field))
    return field == PAGE and any(one.field == PAGE for one in locked)


def may_be_asked(locked: Sequence[Filter], field: str) -> bool:
    """Whether a filter by this field could tell no more than that: those by what was done are about whole visits."""
    return is_told(locked, field) and not (is_narrow(locked) and field in EVENT_FIELDS)


def rows_told(locked: Sequence[Filter], field: str) -> tuple[Filter, ...]:
    """What each row must have that a list of events, properties or products counts."""
    kind = NAMED_KINDS.get(field)
    return tuple(one for one in locked if kind is not None and NAMED_KINDS.get(one.field) is kind)
