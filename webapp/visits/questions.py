"""What can be asked about visits, and the shape of the answers, whether roll-ups or raw rows give them. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True)
class Value:
    """One line of a breakdown: a page's address, a country, "(other)" for what was not counted one by one."""

    value: str
    figures: Figures
