"""The lists of the page: the values of a field with their counts, each line a link that filters by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webapp.visits import answers
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, PAGE, Figures, Filter, Operator, Value
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.fields import EVENT_FIELDS, LABELS, OTHER, PAGE_FIELDS, Card, Tab, shown_value
from webapp.visits.site_page.filters import read_filters, write_filter, write_filters
from webapp.visits.site_page.numbers import BOUNCE_RATE, PAGES_PER_VISIT, VISIT_DURATION, Metric, seconds, written_share

TOP_COUNT = 9
WHOLE_LIMIT = 25_000
"""The most values that a whole list, or a file of it, holds."""
VISITORS_LIMIT = 1_000
"""The same of a list by visitors: of each value they are counted one by one."""

PAGEVIEWS = Metric("pageviews", "Pageviews", lambda figures: figures.pageview_count)
ENTRIES = Metric("entries", "Entries", lambda figures: figures.visit_count)
EXITS = Metric("exits", "Exits", lambda figures: figures.visit_count)
VISITS = Metric("visits", "Visits", lambda figures: figures.visit_count)
COUNT = Metric("count", "Count", lambda figures: figures.event_count)
VISITORS = Metric("visitors", "Visitors", lambda figures: figures.visitor_count)
TIME_ON_PAGE = Metric(
    "time_on_page",
    "Time on page",
    lambda figures: figures.engaged_ms / 1000 / figures.pageview_count if figures.pageview_count else None,
    seconds,
)
WITH_VISITORS = ("event", "product")
"""Fields whose visitors are counted value by value."""
DIMENSION_COLUMNS = (VISITS, PAGEVIEWS, PAGES_PER_VISIT, BOUNCE_RATE, VISIT_DURATION)
COLUMNS = {
    PAGE: (PAGEVIEWS, ENTRIES, TIME_ON_PAGE),
    ENTRY_PAGE: (ENTRIES, BOUNCE_RATE),
    EXIT_PAGE: (EXITS,),
    **dict.fromkeys(WITH_VISITORS, (COUNT, VISITORS)),
    "property": (COUNT,),
}
"""What is said of each value of a field; the first of them sorts the list and is its bar."""
NOTHING_YET = {
    "event": 'No event was reported. Call footfall("sign-up") in a page, or mark a button with data-footfall-event.',
    "property": 'No event had a property. Give some as in footfall("sign-up", {plan: "pro"}).',
    "product": "No product was looked at. Call footfall.product(sku) on the pages of products.",
    **dict.fromkeys(
        ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
        "No visit came through a tagged link. Add utm_source, utm_medium and utm_campaign to the links you publish.",
    ),
}


@dataclass(frozen=True)
class Line:
    """One value as it is shown."""

    field: str
    value: str
    label: str
    note: str
    url: str
    count: float
    fraction: float
    figures: Figures
    is_chosen: bool

    @property
    def second(self) -> str:
        """Its share, written; of events, by how many visitors they were done."""
        if self.field in WITH_VISITORS:
            return f"{'≈ ' if self.figures.is_estimate else ''}{VISITORS.text(self.figures)}"
        return written_share(self.fraction)


@dataclass(frozen=True)
class ShownCard:
    """A card with the lines of its open tab."""

    card: Card
    tab: Tab
    column: Metric
    heading: str
    second: str
    nothing: str
    lines: list[Line]
    is_longer: bool


def columns_of(field: str) -> tuple[Metric, ...]:
    """What is said of each value of this field."""
    return COLUMNS.get(field, DIMENSION_COLUMNS)


def fields_of(choice: Choice) -> list[str]:
    """The fields of the cards' open tabs."""
    return [choice.tab_of(card).field for card in choice.cards]


def list_cards(choice: Choice, total: Figures, lists: Mapping[str, Sequence[Value]]) -> list[ShownCard]:
    """Every card with the top of its list; of each there is one more, if there are so many."""
    return [_card(choice, card, total, lists[choice.tab_of(card).field]) for card in choice.cards]


def list_lines(choice: Choice, field: str, total: Figures, limit: int) -> list[Line]:
    """The values of a field that are most counted."""
    values = list_values(choice, field, limit)
    return _lines(choice, field, values, _whole(field, total, values))


def list_values(choice: Choice, field: str, limit: int) -> list[Value]:
    """The same as they are counted."""
    return answers.breakdown(choice.list_question(field), field, limit)


def list_visitor_lines(choice: Choice, field: str, total: Figures) -> list[Line]:
    """The values of a field that most visitors have, with nothing but them."""
    values = answers.most_visited(choice.list_question(field), field, VISITORS_LIMIT)
    return [_line(choice, field, VISITORS, value, total.visitor_count or 1) for value in values]


def lines_of(choice: Choice, field: str, values: Sequence[Value], endpoint: str) -> list[Line]:
    """Values with their visitors as lines, each with its share of the largest; a click filters the page `endpoint`."""
    highest = max((value.figures.visitor_count for value in values), default=0) or 1
    return [_line(choice, field, VISITORS, value, highest, endpoint) for value in values]


def toggled(choice: Choice, field: str, value: str, operator: Operator = Operator.IS) -> tuple[Filter, ...]:
    """The choice's filters with only this value of the field, or without it if it was chosen."""
    text = write_filter(field, operator, value)
    texts = write_filters(choice.filters)
    if text in texts:
        return read_filters(one for one in texts if one != text)
    others = [one for one in choice.filters if (one.field, one.operator) != (field, operator)]
    return (*others, Filter(field, operator, (value,)))


def _card(choice: Choice, card: Card, total: Figures, values: Sequence[Value]) -> ShownCard:
    tab = choice.tab_of(card)
    lines = _lines(choice, tab.field, values, _whole(tab.field, total, values))
    return ShownCard(
        card,
        tab,
        columns_of(tab.field)[0],
        LABELS[tab.field],
        VISITORS.label if tab.field in WITH_VISITORS else "Share",
        _nothing(choice, tab.field),
        lines[:TOP_COUNT],
        len(lines) > TOP_COUNT,
    )


def _nothing(choice: Choice, field: str) -> str:
    """What an empty list means, and what to do about it."""
    if choice.filters:
        return "Nothing passes these filters. Remove one of them, or choose more days."
    return NOTHING_YET.get(field, "Nothing in these days. Choose more days above.")


def _lines(choice: Choice, field: str, values: Sequence[Value], whole: float) -> list[Line]:
    column = columns_of(field)[0]
    return [_line(choice, field, column, value, whole) for value in values]


def _whole(field: str, total: Figures, values: Sequence[Value]) -> float:
    """What the counts are shares of."""
    if field == "property":
        return total.event_count or 1
    if field in EVENT_FIELDS:
        return max((value.figures.event_count for value in values), default=0) or 1
    return (total.pageview_count if field == PAGE else total.visit_count) or 1


def _line(
    choice: Choice, field: str, column: Metric, value: Value, whole: float, endpoint: str = "visits.index"
) -> Line:
    count = column.work_out(value.figures) or 0
    short, note = _spelled(choice, field, value.value)
    chosen = next((one.values for one in choice.filters if one.field == field and one.operator is Operator.IS), ())
    key = short if field in PAGE_FIELDS and not note else value.value
    is_link = value.value != OTHER and choice.may_filter(field)
    return Line(
        field,
        value.value,
        short,
        note,
        choice.with_filters(toggled(choice, field, key)).url(endpoint) if is_link else "",
        count,
        min(1.0, count / whole),
        value.figures,
        key in chosen or value.value in chosen,
    )


def spelled_page(choice: Choice, value: str) -> tuple[str, str]:
    """A page as people say it, and a note: its path, with its host where the site has several."""
    return _spelled(choice, PAGE, value)


def _spelled(choice: Choice, field: str, value: str) -> tuple[str, str]:
    """A value in words and a note: pages by their path, with their host where it is another than the site's."""
    if field not in PAGE_FIELDS or value == OTHER:
        return shown_value(field, value), ""
    for origin in choice.site.origins:
        if value.startswith(f"{origin}/"):
            return value[len(origin) :], "" if len(choice.site.origins) == 1 else origin.partition("://")[2]
    return value or shown_value(field, value), ""
