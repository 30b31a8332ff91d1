"""A behaviour in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from webapp.visits.behaviour.conditions import Behaviour, Days, What
from webapp.visits.questions import Operator

VERBS = {
    What.PAGE: ("Visited", "visited"),
    What.EVENT: ("Did", "done"),
    What.PROPERTY: ("Did", "done"),
    What.PRODUCT: ("Viewed", "viewed"),
    What.ANYTHING: ("Visited", "visited"),
}
COMPARED = {Operator.BEGINS: "that begins with", Operator.CONTAINS: "that contains"}
VALUES = {Operator.IS: "is", Operator.BEGINS: "begins with", Operator.CONTAINS: "contains"}
IDENTIFIED_OR_NOT = "(identified or not)"
"""Who was never identified is among those who did not."""


def words_of(behaviour: Behaviour, site_names: Mapping[UUID, str]) -> str:
    """ "Visited a page that begins with “/pricing” 3 times or more in the last 14 days on Shop"."""
    past, participle = VERBS[behaviour.what]
    said = [past if behaviour.is_done else f"Has not {participle}", _object(behaviour)]
    said += [f"{behaviour.least:,} times or more"] if behaviour.least > 1 else []
    said.append(when(behaviour.days))
    said += [f"on {site_names.get(behaviour.site_id, 'a site that is gone')}"] if behaviour.site_id else []
    said += [] if behaviour.is_done else [IDENTIFIED_OR_NOT]
    return " ".join(part for part in said if part)


def when(days: Days) -> str:
    """ "in the last 14 days"; nothing for all days."""
    if days.last_days:
        return "today" if days.last_days == 1 else f"in the last {days.last_days:,} days"
    if days.first is None or days.last is None:
        return ""
    if days.first == days.last:
        return f"on {_spell(days.first)}"
    return f"from {_spell(days.first)} to {_spell(days.last)}"


def _object(behaviour: Behaviour) -> str:
    what, operator = behaviour.what, behaviour.operator
    if operator is None:
        return "a website"
    if what is What.PROPERTY:
        event, name, text = behaviour.property_parts
        return f"“{event}” where {name} {VALUES[operator]} “{text}”"
    if what is What.PRODUCT:
        return f"the product “{behaviour.value}”"
    noun = "a page" if what is What.PAGE else "an event"
    return f"{noun} {COMPARED[operator]} “{behaviour.value}”" if operator in COMPARED else f"“{behaviour.value}”"


def _spell(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
