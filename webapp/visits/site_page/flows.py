"""Journeys from and to a page, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.visits.questions import PAGE, Filter, Operator
from webapp.visits.raw import flows
from webapp.visits.raw.flows import STEPS, Came, Flow, FlowStep
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.fields import OTHER, shown_value
from webapp.visits.site_page.filters import VALUE_LIMIT, BadFilterError, read_filters, with_origins, written_page
from webapp.visits.site_page.limits import is_narrow
from webapp.visits.site_page.lists import spelled_page, toggled
from webapp.visits.site_page.numbers import written_share
from webapp.visits.site_page.service import pattern_of

ENDPOINT = "visits.show_journeys"
USUAL_STEPS = 2
LINES = 8
REFERRERS = 4
BEFORE = {1: "Just before", 2: "Two before", 3: "Three before"}
AFTER = {1: "Just after", 2: "Two after", 3: "Three after"}
FROM_ENTRY = {1: "First page", 2: "Second page", 3: "Third page"}


@dataclass(frozen=True)
class Place:
    """What a journey is looked at from: a page as people write it (/orders/*), or with '' where visits enter."""

    text: str
    step_count: int

    @property
    def filter(self) -> Filter | None:
        """The page as a filter; raises BadFilterError."""
        if not self.text:
            return None
        operator, value = pattern_of(self.text)
        return read_filters([f"{PAGE}:{operator.value}:{value}"])[0]

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """What stands in the address beside the choice."""
        usual = self.step_count if self.step_count != USUAL_STEPS else None
        return {"page": self.text or None, "steps": usual, **changes}


@dataclass(frozen=True)
class Line:
    """One page, or where visits entered or left, at one step. `url` looks at the journeys from there."""

    kind: str
    label: str
    note: str
    visit_count: int
    fraction: float
    url: str = ""
    filter_url: str = ""

    @property
    def share(self) -> str:
        return written_share(self.fraction)


@dataclass(frozen=True)
class Group:
    """Lines that belong together, with what they have in common."""

    title: str
    lines: list[Line]


@dataclass(frozen=True)
class Stage:
    """One step of the journeys."""

    title: str
    groups: list[Group]
    is_before: bool


def read_place(arguments: Mapping[str, str]) -> Place:
    """What an address asks for; raises BadFilterError."""
    text = written_page(arguments.get("page", ""))
    steps = arguments.get("steps", "")
    place = Place(text[: VALUE_LIMIT + 1], int(steps) if steps in {str(step) for step in STEPS} else USUAL_STEPS)
    if place.filter is not None and not text.strip("*"):
        raise BadFilterError("Give a page, as in /pricing or /orders/*.")
    return place


def can_follow(choice: Choice) -> bool:
    """Whether a link may show journeys: one that is limited to some pages must not tell what else was seen."""
    return not is_narrow(choice.locked)


def get_flow(choice: Choice, place: Place, limit: int) -> Flow:
    """The journeys that pass the choice's filters."""
    centre = with_origins([place.filter], choice.site.origins)[0] if place.filter else None
    return flows.flow(choice.question(), centre, place.step_count, limit)


def list_stages(choice: Choice, place: Place, flow: Flow) -> list[Stage]:
    """All steps in the order of time; without a page, what comes before the first is only where visits came from."""
    shown = _Shown(choice, place, flow.visit_count or 1)
    before = flow.before if place.text else flow.before[:1]
    titles = AFTER if place.text else FROM_ENTRY
    return [
        *(
            Stage(BEFORE[step] if place.text else "Came from", shown.before(step, one), is_before=True)
            for step, one in reversed(list(enumerate(before, start=1)))
        ),
        *(Stage(titles[step], shown.after(one), is_before=False) for step, one in enumerate(flow.after, start=1)),
    ]


@dataclass(frozen=True)
class _Shown:
    """Makes lines of what was counted."""

    choice: Choice
    place: Place
    whole: int

    def before(self, step: int, found: FlowStep) -> list[Group]:
        """Pages, then where visits had entered, the most frequent referrers by name."""
        named = found.entered[: REFERRERS if self.place.text else LINES]
        others = found.entered_count - sum(came.visit_count for came in named)
        entered = [*map(self._referrer, named), *self._rest("entered", "Other sources", others)]
        title = "Entered at this page, from" if step == 1 else "Entered a page later, from"
        return self._told(Group("", self._pages(found)), Group(title if self.place.text else "", entered))

    def after(self, found: FlowStep) -> list[Group]:
        return self._told(Group("", [*self._pages(found), *self._rest("left", "Left", found.left_count)]))

    def _told(self, *groups: Group) -> list[Group]:
        return [group for group in groups if group.lines]

    def _pages(self, found: FlowStep) -> list[Line]:
        named = found.pages[:LINES]
        others = found.page_count - sum(came.visit_count for came in named)
        return [*map(self._page, named), *self._rest("other", "Other pages", others)]

    def _page(self, came: Came) -> Line:
        label, note = spelled_page(self.choice, came.value)
        if came.value == OTHER:
            return self._line("other", shown_value(PAGE, OTHER), "", came.visit_count)
        key = came.value if note else label
        url = self.choice.url(ENDPOINT, **self.place.arguments(page=key))
        return self._line("page", label, note, came.visit_count, url, self._filtered(PAGE, key))

    def _referrer(self, came: Came) -> Line:
        label, url = shown_value("referrer", came.value), self._filtered("referrer", came.value)
        return self._line("entered", label, "", came.visit_count, "", url)

    def _rest(self, kind: str, label: str, count: int) -> list[Line]:
        return [self._line(kind, label, "", count)] if count else []

    def _line(self, kind: str, label: str, note: str, count: int, url: str = "", filter_url: str = "") -> Line:
        return Line(kind, label, note, count, count / self.whole, url, filter_url)

    def _filtered(self, field: str, value: str) -> str:
        """The same journeys, only of visits that have this value; or without it, where they are filtered by it."""
        filters = toggled(self.choice, field, value, Operator.IS)
        return self.choice.with_filters(filters).url(ENDPOINT, **self.place.arguments())


HEADER = ("when", "step", "kind", "value", "visits", "share")


def list_rows(flow: Flow) -> list[list[str | float | None]]:
    """Every step as rows of a table."""
    whole = flow.visit_count or 1
    rows = [("page", 0, "page", "", flow.visit_count)]
    for when, steps in (("before", flow.before), ("after", flow.after)):
        for step, found in enumerate(steps, start=1):
            rows += [(when, step, "page", came.value, came.visit_count) for came in found.pages]
            rows += [(when, step, "page", OTHER, found.other_count)] if found.other_count else []
            rows += [(when, step, "entered", came.value, came.visit_count) for came in found.entered]
            rows += [(when, step, "entered", OTHER, found.other_entered_count)] if found.other_entered_count else []
            rows += [(when, step, "left", "", found.left_count)] if found.left_count else []
    return [[*row, row[-1] / whole] for row in rows]
