"""Something that somebody did, or did not: read from an address or from JSON, written back. Pure.

    30d:page:begins:/pricing                        in the last 30 days, today among them
    not:2026-01-01..2026-03-31:page:is:/login       the days named, both included
    ever:3x:event:is:Sign-up                        at least three times
    7d:site=0197…:product:is:SKU-1                  on one site
    90d:property:is:Sign-up U+001F plan U+001F pro  an event's property: event, name, value
    30d:anything                                    any pageview, event or product view

Nothing of it has a moment: "the last 30 days" are those of whoever asks.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from webapp.lib.texts import is_keepable, shown
from webapp.visits.periods import FIRST_YEAR, LAST_YEAR, MOST_DAYS, is_possible
from webapp.visits.questions import Operator

VALUE_LIMIT = 300
"""As many characters of a name are kept (`enrichment.TEXT_LIMIT`); addresses of pages may be longer."""
PAGE_LIMIT = 2_000
MOST_TIMES = 10_000
SEPARATOR = "\x1f"
NOT, EVER, SITE = "not", "ever", "site="
EXAMPLE = "14d:page:begins:/pricing"


class BadBehaviourError(ValueError):
    """This is nothing that somebody could have done; the message says what to change."""


class What(enum.Enum):
    """What kind of thing somebody did."""

    PAGE = "page"
    EVENT = "event"
    PROPERTY = "property"
    PRODUCT = "product"
    ANYTHING = "anything"


OPERATORS = {
    What.PAGE: (Operator.IS, Operator.BEGINS, Operator.CONTAINS),
    What.EVENT: (Operator.IS, Operator.BEGINS, Operator.CONTAINS),
    What.PROPERTY: (Operator.IS, Operator.BEGINS, Operator.CONTAINS),
    What.PRODUCT: (Operator.IS,),
    What.ANYTHING: (),
}


@dataclass(frozen=True)
class Days:
    """The last so many, today among them; or from the first to the last, both included; or all that there ever were."""

    last_days: int | None = None
    first: date | None = None
    last: date | None = None

    def as_text(self) -> str:
        if self.last_days:
            return f"{self.last_days}d"
        return f"{self.first.isoformat()}..{self.last.isoformat()}" if self.first and self.last else EVER


@dataclass(frozen=True)
class Behaviour:
    """Somebody did this at least so often, or did not."""

    what: What
    operator: Operator | None = None
    value: str = ""
    days: Days = Days()
    least: int = 1
    site_id: UUID | None = None
    is_done: bool = True

    @property
    def done(self) -> Behaviour:
        """The same, done: who did not is everybody else."""
        return self if self.is_done else replace(self, is_done=True)

    @property
    def property_parts(self) -> tuple[str, str, str]:
        """Event, name and value of a property."""
        event, name, value = self.value.split(SEPARATOR, 2)
        return event, name, value

    def as_text(self) -> str:
        """As it stands in an address."""
        parts = [] if self.is_done else [NOT]
        parts.append(self.days.as_text())
        parts += [f"{self.least}x"] if self.least > 1 else []
        parts += [f"{SITE}{self.site_id}"] if self.site_id else []
        parts.append(self.what.value)
        return ":".join([*parts, self.operator.value, self.value] if self.operator else parts)


def read_behaviour(text: str) -> Behaviour:
    """What `as_text` wrote; raises BadBehaviourError."""
    is_done = not text.startswith(f"{NOT}:")
    days_text, _, rest = (text if is_done else text.removeprefix(f"{NOT}:")).partition(":")
    days = read_days(days_text)
    found: dict[str, Any] = {}
    while rest and (option := _option(rest.partition(":")[0])):
        found |= option
        rest = rest.partition(":")[2]
    what_text, _, rest = rest.partition(":")
    what = next((one for one in What if one.value == what_text), None)
    if what is None:
        raise BadBehaviourError(f"“{shown(text)}” does not say what somebody did, as {EXAMPLE} does.")
    operator, value = _compared(what, rest)
    return Behaviour(what, operator, value, days, is_done=is_done, **found)


def read_days(text: str) -> Days:
    """When: "14d", "2026-01-01..2026-03-31" or "ever"; raises BadBehaviourError."""
    if text == EVER:
        return Days()
    if text.endswith("d") and (number := _number(text[:-1])) is not None:
        if not 1 <= number <= MOST_DAYS:
            raise BadBehaviourError(f"Choose 1 to {MOST_DAYS:,} days, not {number:,}.")
        return Days(last_days=number)
    first, between, last = text.partition("..")
    if not between:
        raise BadBehaviourError(f"“{shown(text)}” is no time such as 14d, ever or 2026-01-01..2026-03-31.")
    return days_between(first, last)


def days_between(first: str, last: str) -> Days:
    """Days by their dates; raises BadBehaviourError."""
    try:
        days = Days(first=date.fromisoformat(first), last=date.fromisoformat(last))
    except ValueError as error:
        raise BadBehaviourError("Give both days, as in 2026-01-31.") from error
    if days.first is None or days.last is None or days.first > days.last:
        raise BadBehaviourError("The first day must not come after the last.")
    if not (is_possible(days.first) and is_possible(days.last)):
        raise BadBehaviourError(f"Choose days in the years {FIRST_YEAR} to {LAST_YEAR}.")
    return days


def write_behaviours(behaviours: Iterable[Behaviour]) -> list[str]:
    """As they stand in an address."""
    return [behaviour.as_text() for behaviour in behaviours]


def _option(text: str) -> dict[str, Any] | None:
    if text.startswith(SITE):
        return {"site_id": _site_id(text.removeprefix(SITE))}
    number = _number(text[:-1]) if text.endswith("x") else None
    if number is None:
        return None
    if not 1 <= number <= MOST_TIMES:
        raise BadBehaviourError(f"Choose 1 to {MOST_TIMES:,} times, not {number:,}.")
    return {"least": number}


def _number(text: str) -> int | None:
    """A short number in plain digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len("1000000") else None


def _site_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BadBehaviourError(f"“{shown(text)}” is not the id of a site.") from error


def _compared(what: What, text: str) -> tuple[Operator | None, str]:
    if what is What.ANYTHING:
        if text.strip():
            raise BadBehaviourError("“anything” is compared with nothing.")
        return None, ""
    comparison, _, value = text.partition(":")
    operator = next((one for one in OPERATORS[what] if one.value == comparison), None)
    if operator is None:
        known = ", ".join(one.value for one in OPERATORS[what])
        raise BadBehaviourError(f"“{shown(comparison)}” does not compare a {what.value}; it may be {known}.")
    return operator, _checked_value(what, value)


def _checked_value(what: What, value: str) -> str:
    if what is What.PROPERTY:
        return _checked_property(value)
    plain = value.strip()
    if not plain:
        raise BadBehaviourError(f"Say which {what.value}.")
    return _checked_text(plain, PAGE_LIMIT if what is What.PAGE else VALUE_LIMIT)


def _checked_property(value: str) -> str:
    parts = [part.strip(" ") for part in value.split(SEPARATOR)]
    if len(parts) != len(("event", "name", "value")) or not (parts[0] and parts[1]):
        raise BadBehaviourError("Say the event, the property's name, and its value, with U+001F between them.")
    return SEPARATOR.join(_checked_text(part, PAGE_LIMIT) for part in parts)


def _checked_text(text: str, limit: int) -> str:
    if len(text) > limit:
        raise BadBehaviourError(f"“{text[:20]}…” is too long: at most {limit:,} characters are kept of it.")
    if not is_keepable(text):
        raise BadBehaviourError(f"“{shown(text, 20)}” holds a character that no text can hold.")
    return text
