"""What can be asked about visits, and the shape of the answers, whether roll-ups or raw rows give them. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from webapp.visits.models import Dimension

PAGE, ENTRY_PAGE, EXIT_PAGE = "page", "entry_page", "exit_page"
FIELDS = (PAGE, ENTRY_PAGE, EXIT_PAGE, *(dimension.value for dimension in Dimension))
"""What visits can be filtered and broken down by. A property is `property`, its value event U+001F key U+001F value."""


class Operator(enum.Enum):
    """How a filter compares; several values are alternatives."""

    IS = "is"
    IS_NOT = "is_not"
    BEGINS = "begins"
    CONTAINS = "contains"


@dataclass(frozen=True)
class Filter:
    """Only what has one of these values (or, with IS_NOT, none of them)."""

    field: str
    operator: Operator
    values: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """Visits of some of an organisation's sites in [start, end), as far as they pass every filter."""

    organisation_id: UUID
    site_ids: tuple[UUID, ...]
    start: datetime
    end: datetime
    filters: tuple[Filter, ...] = ()
    rows: tuple[Filter, ...] = ()
    """What each row that is counted must have besides, and with it one row of each visit: which event it is."""

    @property
    def is_filtered(self) -> bool:
        """Whether not everything of the range counts: then raw rows have to say."""
        return bool(self.filters or self.rows)


@dataclass(frozen=True)
class Figures:
    """What is counted of a range, a bucket or one value. Times are sums in milliseconds."""

    pageview_count: int = 0
    visit_count: int = 0
    visitor_count: int = 0
    is_estimate: bool = False
    bounce_count: int = 0
    visit_ms: int = 0
    event_count: int = 0
    engaged_ms: int = 0


PagePoints = dict[str, list[tuple[datetime, int]]]
"""For each page the buckets in which it was seen, and how often."""


class TooManyPointsError(ValueError):
    """More than one answer may hold."""


@dataclass(frozen=True)
class Summary:
    """A range as a whole, and its buckets."""

    total: Figures
    points: list[Figures]


@dataclass(frozen=True)
class Value:
    """One line of a breakdown: a page's address, a country, "(other)" for what was not counted one by one."""

    value: str
    figures: Figures


@dataclass(frozen=True)
class Overview:
    """What a page shows of a range: its figures, and the values of some fields that count most.

    Of pages it tells at least how often they were seen, of sources, entries and exits how many visits, and of other
    fields all that `COUNTED` says: for more, raw rows would be looked at once more for each list.
    """

    summary: Summary
    lists: Mapping[str, list[Value]]


_EVENT_FIELDS = (Dimension.EVENT.value, Dimension.PRODUCT.value)
_OF_VISITS = ("visit_count", "pageview_count", "event_count", "bounce_count", "visit_ms")
COUNTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(FIELDS, _OF_VISITS),
        PAGE: ("pageview_count", "visit_count", "bounce_count", "engaged_ms"),
        ENTRY_PAGE: ("visit_count", "bounce_count"),
        EXIT_PAGE: ("visit_count",),
        **dict.fromkeys(_EVENT_FIELDS, ("event_count", "visitor_count", "is_estimate")),
        Dimension.PROPERTY.value: ("event_count",),
    }
)
"""Which figures a breakdown by a field tells, whoever answers; the others stay 0. A page's visits are its entries.

A list counts what the figures of the whole range count, so its counts add up to those. Pageviews and events are the
rows that pass all filters, also of a channel, a referrer or a campaign: they are those of the visits that came by it.
Such a visit brings all its rows, those behind midnight too, to the day on which it began, as its duration.
"""

UNSAID = MappingProxyType(asdict(Figures()))


def told_of(field: str, figures: Figures) -> Figures:
    """As much of the figures as a breakdown by the field tells."""
    unsaid = {name for name in UNSAID if name not in COUNTED[field]}
    return replace(figures, **{name: UNSAID[name] for name in unsaid})
