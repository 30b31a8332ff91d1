"""What lists show and ask about what people did on the organisation's websites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import url_for

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.records.behaviour_sets import moment_of_list, settle
from webapp.records.entities import Entity
from webapp.records.filters import RecordFilter
from webapp.visits.behaviour.conditions import (
    EVER,
    NOT,
    SEPARATOR,
    SITE,
    BadBehaviourError,
    Behaviour,
    What,
    days_between,
)
from webapp.visits.behaviour.doers import has_identities
from webapp.visits.behaviour.links import visits_of
from webapp.visits.behaviour.spans import deed_of
from webapp.visits.models import Site
from webapp.visits.queries import list_sites
from webapp.visits.site_page.filters import written_value

FORM = (
    "did_side", "did_what", "did_operator", "did_value", "did_name", "did_text",
    "did_days", "did_from", "did_to", "did_least", "did_site",
)  # fmt: skip
"""The boxes of the form that says one of them."""
DATES = "dates"
DAYS = {
    "1d": "today",
    "7d": "in the last 7 days",
    "14d": "in the last 14 days",
    "30d": "in the last 30 days",
    "90d": "in the last 90 days",
    "365d": "in the last 365 days",
    EVER: "ever",
    DATES: "between two days",
}
USUAL_DAYS = "30d"
WHATS = {
    What.PAGE.value: "visit a page",
    What.EVENT.value: "do an event",
    What.PROPERTY.value: "do an event with a property",
    What.PRODUCT.value: "view a product",
    What.ANYTHING.value: "visit a website at all",
}


@dataclass(frozen=True)
class AsOf:
    """What a list says about the behaviours that it is filtered by."""

    made_at: datetime
    is_anybody_known: bool
    incomplete: list[tuple[str, datetime]]
    """Sites that keep no raw rows of the first of the days asked for, and from when on they do."""
    visits_url: str | None
    refresh_url: str


def settled(
    entity: Entity, wanted: RecordFilter, *, has_cursor: bool = False, is_refreshed: bool = False
) -> RecordFilter:
    """The filter with those who did what it names; what had to be found for it is committed."""
    organisation = current_organisation()
    moment = moment_of_list(ZoneInfo(organisation.time_zone), has_cursor=has_cursor, is_refreshed=is_refreshed)
    return settle(entity, organisation.id, wanted, moment, db.session.commit)


def as_of(wanted: RecordFilter, zone: ZoneInfo, refresh_url: str) -> AsOf | None:
    """What to say beside a list; nothing where it does not depend on behaviours."""
    if not wanted.sets:
        return None
    organisation_id = current_organisation().id
    sites = list_sites(organisation_id)
    return AsOf(
        min(known.made_at for known in wanted.sets),
        has_identities(organisation_id),
        _incomplete(wanted, sites, zone),
        _visits_url(wanted, sites, zone),
        refresh_url,
    )


def names_of_sites(organisation_id: UUID, wanted: RecordFilter) -> dict[UUID, str]:
    """For the words of a filter; nothing is asked where it names none."""
    return {site.id: site.name for site in list_sites(organisation_id)} if wanted.did else {}


def form_context(entity: Entity) -> dict[str, Any]:
    """What the form that adds a behaviour offers."""
    if not entity.visits_websites:
        return {}
    sites = list_sites(current_organisation().id)
    return {"behaviour": {"whats": WHATS, "days": DAYS, "usual_days": USUAL_DAYS, "dates": DATES, "sites": sites}}


def text_of_form(form: Mapping[str, str]) -> str:
    """The behaviour that the form's boxes say, to be read; raises BadBehaviourError where days are none."""
    what = form.get("did_what", "")
    parts = [NOT] if form.get("did_side") == NOT else []
    parts.append(_days_of(form))
    parts += [f"{least}x"] if (least := form.get("did_least", "").strip()) not in {"", "1"} else []
    parts += [f"{SITE}{site}"] if (site := form.get("did_site", "")) else []
    parts.append(what)
    if what == What.ANYTHING.value:
        return ":".join(parts)
    operator = "is" if what == What.PRODUCT.value else form.get("did_operator", "is")
    return ":".join([*parts, operator, _value_of(form, operator)])


def _value_of(form: Mapping[str, str], operator: str) -> str:
    value = form.get("did_value", "").strip()
    if form.get("did_what") == What.PAGE.value:
        return written_value(What.PAGE.value, value, operator)
    if form.get("did_what") != What.PROPERTY.value:
        return value
    parts = [value, form.get("did_name", "").strip(), form.get("did_text", "").strip()]
    if not (parts[0] and parts[1]):
        raise BadBehaviourError("Say the event, its property, and what the property is.")
    return SEPARATOR.join(part.replace(SEPARATOR, " ") for part in parts)


def _days_of(form: Mapping[str, str]) -> str:
    days = form.get("did_days", USUAL_DAYS)
    if days != DATES:
        return days
    return days_between(form.get("did_from", ""), form.get("did_to", "")).as_text()


def _incomplete(wanted: RecordFilter, sites: list[Site], zone: ZoneInfo) -> list[tuple[str, datetime]]:
    now, found = utc_now(), {}
    for behaviour in wanted.did:
        deed = deed_of(behaviour, zone, now)
        for site in sites:
            first = site.raw_complete_from
            if first and first > deed.start and behaviour.site_id in {None, site.id}:
                found[site.name] = first
    return sorted(found.items())


def _visits_url(wanted: RecordFilter, sites: list[Site], zone: ZoneInfo) -> str | None:
    """The page of the site's visits with the same condition, where it can be said there."""
    if len(wanted.did) != 1:
        return None
    [behaviour] = wanted.did
    site = _site_of(behaviour, sites)
    arguments = visits_of(behaviour, utc_now().astimezone(zone).date()) if site else None
    return url_for("visits.index", site=site.id, **arguments) if site and arguments is not None else None


def _site_of(behaviour: Behaviour, sites: list[Site]) -> Site | None:
    fitting = [site for site in sites if behaviour.site_id in {None, site.id}]
    return fitting[0] if len(fitting) == 1 else None
