"""What of a site's visits is shown: read from an address, and written into the addresses of everything beside it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import url_for
from werkzeug.datastructures import MultiDict

from webapp.visits.buckets import Aggregation
from webapp.visits.models import Site
from webapp.visits.periods import CUSTOM, DEFAULT_PRESET, BadPeriodError, Period, make_period
from webapp.visits.questions import Filter, Question
from webapp.visits.site_page.fields import CARDS, Card, Tab
from webapp.visits.site_page.filters import BadFilterError, read_filters, with_origins, words_of, write_filters
from webapp.visits.site_page.limits import is_told, may_be_asked, rows_told
from webapp.visits.site_page.numbers import EVENTS, METRICS, VISITORS, Metric


class Comparison(enum.Enum):
    """What the numbers are compared with."""

    PREVIOUS = "previous"
    YEAR = "year"
    NONE = "none"

    @property
    def label(self) -> str:
        return COMPARISON_LABELS[self]


COMPARISON_LABELS = {
    Comparison.PREVIOUS: "Previous period",
    Comparison.YEAR: "Year before",
    Comparison.NONE: "No comparison",
}


@dataclass(frozen=True)
class Choice:
    """A site, its period, the width of the buckets, the number that is drawn, filters, and the cards' open tabs."""

    site: Site
    period: Period
    aggregation: Aggregation
    metric: Metric
    comparison: Comparison
    filters: tuple[Filter, ...]
    tabs: Mapping[str, str]
    error: str = ""
    secret: str = ""
    """Of the link by which a stranger looks at this."""
    locked: tuple[Filter, ...] = ()
    """Filters that this link does not let anybody take away."""
    shows_goals: bool = True
    """Not on every link: goals are named for people of the organisation."""

    @property
    def organisation_id(self) -> UUID:
        return self.site.organisation_id

    @property
    def compared(self) -> Period | None:
        """The period that this one is compared with."""
        if self.comparison is Comparison.NONE:
            return None
        return self.period.year_before() if self.comparison is Comparison.YEAR else self.period.previous()

    @property
    def raw_from(self) -> date | None:
        """The day from which on single visits are kept, where the period begins before it.

        Whatever raw rows answer (filters, journeys, funnels) begins there.
        """
        return self.kept_from(self.period.start)

    @property
    def compared_raw_from(self) -> date | None:
        """The same of the period that this one is compared with."""
        return self.kept_from(self.compared.start) if self.compared else None

    def kept_from(self, start: datetime) -> date | None:
        """From which day on raw rows of a range that begins here are kept, where retention took those before."""
        first = self.site.raw_complete_from
        return first.astimezone(self.period.zone).date() if first and first > start else None

    @property
    def cards(self) -> list[Card]:
        """The cards with those of their lists that this may tell."""
        told = [replace(card, tabs=tuple(tab for tab in card.tabs if self.tells(tab.field))) for card in CARDS]
        return [card for card in told if card.tabs]

    @property
    def limit(self) -> str:
        """What the link is limited to, in words; '' for everything."""
        return "; ".join(words_of(one) for one in self.locked)

    def tells(self, field: str) -> bool:
        """Whether the list of a field may be seen."""
        return is_told(self.locked, field)

    def may_filter(self, field: str) -> bool:
        """Whether it may be filtered by a field."""
        return may_be_asked(self.locked, field)

    @property
    def metrics(self) -> list[Metric]:
        """The numbers that this may tell: of events those that its link names, where it names any."""
        return [metric for metric in METRICS.values() if metric is not EVENTS or self.tells("event")]

    def tab_of(self, card: Card) -> Tab:
        """The list of a card that is shown."""
        return card.tab(self.tabs.get(card.name, ""))

    def question(self, start: datetime | None = None, end: datetime | None = None) -> Question:
        """This choice, or another range of it, as a question."""
        filters = with_origins((*self.locked, *self.filters), self.site.origins)
        return Question(
            self.organisation_id, (self.site.id,), start or self.period.start, end or self.period.end, filters
        )

    def list_question(self, field: str) -> Question:
        """The question of which the list of a field is told."""
        return replace(self.question(), rows=rows_told(self.locked, field))

    def url(self, endpoint: str = "visits.index", **changes: Any) -> str:
        """The address of this choice with some of it changed; None leaves something out."""
        arguments = {**self.arguments(), **changes}
        if self.secret:
            endpoint, arguments = f"shared_{endpoint}", {**arguments, "site": None, "secret": self.secret}
        return url_for(endpoint, **{name: value for name, value in arguments.items() if value})

    def arguments(self) -> dict[str, Any]:
        """What stands in the address: only what differs from the usual."""
        usual = self.period.aggregations()[0]
        return {
            "site": str(self.site.id),
            "range": self.period.preset,
            "from": self.period.first.isoformat() if self.period.preset == CUSTOM else None,
            "to": self.period.last.isoformat() if self.period.preset == CUSTOM else None,
            "by": self.aggregation.value if self.aggregation is not usual else None,
            "metric": self.metric.name if self.metric is not VISITORS else None,
            "compare": self.comparison.value if self.comparison is not Comparison.PREVIOUS else None,
            "where": write_filters(self.filters),
            **self.tabs,
        }

    def with_filters(self, filters: Sequence[Filter]) -> Choice:
        """The same with other filters."""
        return replace(self, filters=tuple(filters))


def read_choice(site: Site, arguments: MultiDict[str, str], now: datetime) -> Choice:
    """What an address asks for; what it asks wrongly is replaced by the usual and explained."""
    period, period_error = _read_period(arguments, site.zone, now)
    filters, filter_error = _read_filters(arguments)
    widths = period.aggregations()
    return Choice(
        site,
        period,
        next((width for width in widths if width.value == arguments.get("by")), widths[0]),
        METRICS.get(arguments.get("metric", ""), VISITORS),
        _read_comparison(arguments.get("compare", "")),
        filters,
        {card.name: tab.field for card in CARDS for tab in card.tabs[1:] if arguments.get(card.name) == tab.field},
        period_error or filter_error,
    )


def _read_period(arguments: MultiDict[str, str], zone: ZoneInfo, now: datetime) -> tuple[Period, str]:
    preset = arguments.get("range", DEFAULT_PRESET)
    try:
        return make_period(preset, zone, now, arguments.get("from", ""), arguments.get("to", "")), ""
    except BadPeriodError as problem:
        return make_period(DEFAULT_PRESET, zone, now), f"{problem} Shown instead: the last 30 days."


def _read_filters(arguments: MultiDict[str, str]) -> tuple[tuple[Filter, ...], str]:
    try:
        return read_filters(arguments.getlist("where")), ""
    except BadFilterError as problem:
        return (), f"{problem} Shown instead: all visits."


def _read_comparison(value: str) -> Comparison:
    return next((one for one in Comparison if one.value == value), Comparison.PREVIOUS)
