"""The same condition on a site's page and in the list of contacts, as far as both can say it. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from webapp.visits.behaviour.conditions import OPERATORS, BadBehaviourError, Behaviour, Days, What, read_behaviour
from webapp.visits.periods import CUSTOM, DAYS_BACK, Period
from webapp.visits.questions import Filter, Operator
from webapp.visits.site_page.filters import write_filter

TODAY = "today"
RANGES = {back + 1: preset for preset, back in DAYS_BACK.items() if preset == TODAY or preset.endswith("d")}
"""The page's ranges of so many days, today among them."""
EARLIEST_DAYS = 3650
"""What "ever" means on a site's page: ten years, the longest range that it shows."""


def behaviour_of(filters: tuple[Filter, ...], period: Period, site_id: UUID) -> Behaviour | None:
    """What the visitors of a site's page did, when one condition says it."""
    if len(filters) != 1 or len(filters[0].values) != 1:
        return None
    [one] = filters
    return behaviour_of_value(one.field, one.values[0], period, site_id, one.operator)


def behaviour_of_value(
    field: str, value: str, period: Period, site_id: UUID, operator: Operator = Operator.IS
) -> Behaviour | None:
    """What those did who are counted in one line of a list; None where nobody can be told by it."""
    what = next((one for one in What if one.value == field), None)
    if what is None or operator not in OPERATORS[what]:
        return None
    behaviour = Behaviour(what, operator, value, _days_of(period), site_id=site_id)
    try:
        return read_behaviour(behaviour.as_text())
    except BadBehaviourError:  # an empty value, or one too long
        return None


def visits_of(behaviour: Behaviour, today: date) -> dict[str, Any] | None:
    """The arguments of a site's page that shows the visits of those who did it; None where it cannot be said."""
    where = []
    if behaviour.operator:
        where = [write_filter(behaviour.what.value, behaviour.operator, behaviour.value)]
    days = behaviour.days
    if days.last_days in RANGES:
        return {"range": RANGES[days.last_days], "where": where}
    last_days = days.last_days or EARLIEST_DAYS
    first, last = days.first or today - timedelta(days=last_days - 1), days.last or today
    return {"range": CUSTOM, "from": first.isoformat(), "to": last.isoformat(), "where": where}


def _days_of(period: Period) -> Days:
    last_days = next((days for days, preset in RANGES.items() if preset == period.preset), None)
    return Days(last_days) if last_days else Days(first=period.first, last=period.last)
