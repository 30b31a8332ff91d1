"""The verbs over what is kept beside a site's visits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import delete, func, select

from webapp.extensions import db
from webapp.lib.ids import uuid7
from webapp.lib.texts import is_keepable
from webapp.visits.models import Site
from webapp.visits.questions import PAGE, Operator
from webapp.visits.raw.journeys import STEPS
from webapp.visits.site_page.filters import VALUE_LIMIT, BadFilterError, read_filters, write_filters, written_page
from webapp.visits.site_page.journeys import read_steps
from webapp.visits.site_page.models import ChartNote, Funnel, Goal, Segment, SharedLink
from webapp.visits.site_page.queries import find_segment
from webapp.visits.site_page.secrets import new_secret

NAME_LIMIT = 100
TEXT_LIMIT = 200
KEPT_LIMIT = 100
"""The most goals, segments or notes of one site: the page asks about each goal."""

Kept = type[Goal] | type[Segment] | type[Funnel] | type[ChartNote] | type[SharedLink]
KeptRow = Goal | Segment | Funnel | ChartNote | SharedLink
T = TypeVar("T", Goal, Segment, Funnel, ChartNote, SharedLink)


class BadEntryError(ValueError):
    """This can't be kept; `field` is what is wrong, the message says why and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NameTakenError(BadEntryError):
    """Something else has this name, and is not to be replaced unasked."""


def create_goal(site: Site, name: str, kind: str, value: str) -> Goal:
    """A goal: a page (with * for anything, at its end or around a part) or an event; raises BadEntryError."""
    value = written_page(value) if kind == PAGE else value.strip()
    if not 1 <= len(value.strip("*")) <= VALUE_LIMIT or not is_keepable(value):
        raise BadEntryError("value", "Give a page, as in /thanks or /orders/*, or the name of an event.")
    operator, pattern = pattern_of(value) if kind == PAGE else (Operator.IS, value)
    if "*" in pattern and kind == PAGE:
        raise BadEntryError("value", "A * can stand at the end, or at both ends: /orders/* or *thanks*.")
    name = _checked_name(Goal, site, name.strip() or value)
    goal = Goal(
        organisation_id=site.organisation_id,
        id=uuid7(),
        site_id=site.id,
        name=name,
        field=PAGE if kind == PAGE else "event",
        operator=operator,
        value=pattern,
    )
    return _added(goal)


def save_segment(site: Site, name: str, texts: Sequence[str], *, replaces: bool = False) -> Segment:
    """These filters under a name; raises BadEntryError, NameTakenError where that would replace other filters."""
    filters = _checked_filters(texts)
    if not filters:
        raise BadEntryError("filters", "Add a filter first; a segment is a name for filters.")
    found = find_segment(site.organisation_id, site.id, name.strip())
    if found is None:
        name = _checked_name(Segment, site, name.strip())
        return _added(
            Segment(organisation_id=site.organisation_id, id=uuid7(), site_id=site.id, name=name, filters=filters)
        )
    if found.filters != filters and not replaces:
        raise NameTakenError("name", f"There is a segment called “{found.name}” already.")
    found.filters = filters
    return found


def add_note(site: Site, day: str, text: str) -> ChartNote:
    """A note on a day; raises BadEntryError."""
    text = text.strip()
    if not 1 <= len(text) <= TEXT_LIMIT or not is_keepable(text):
        raise BadEntryError("text", f"A note has 1 to {TEXT_LIMIT} characters.")
    try:
        on = date.fromisoformat(day)
    except ValueError as error:
        raise BadEntryError("day", "Give the day, as in 2026-01-31.") from error
    _check_room(ChartNote, site)
    return _added(ChartNote(organisation_id=site.organisation_id, id=uuid7(), site_id=site.id, day=on, text=text))


def share(site: Site, name: str, texts: Sequence[str], *, shows_goals: bool = False) -> SharedLink:
    """A link that shows the site to whoever has it, limited to these filters; raises BadEntryError."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_LIMIT or not is_keepable(name):
        raise BadEntryError("name", f"Say whom the link is for, in at most {NAME_LIMIT} characters.")
    _check_room(SharedLink, site)
    return _added(
        SharedLink(
            organisation_id=site.organisation_id,
            id=uuid7(),
            site_id=site.id,
            name=name,
            secret=new_secret(site.organisation_id),
            filters=_checked_filters(texts),
            shows_goals=shows_goals,
        )
    )


def get_kept(kind: Kept, organisation_id: UUID, kept_id: UUID) -> KeptRow | None:
    """What is kept under this id."""
    return cast("KeptRow | None", db.session.get(kind, (organisation_id, kept_id)))


def delete_kept(kind: Kept, organisation_id: UUID, kept_id: UUID) -> bool:
    """Whether there was one, which is gone now."""
    gone = db.session.execute(
        delete(kind).where(kind.organisation_id == organisation_id, kind.id == kept_id).returning(kind.id)
    )
    return gone.first() is not None


def restore_kept(kind: Kept, site: Site, values: dict[str, Any]) -> KeptRow:
    """Bring back what was deleted, as it was, unless it is back already; raises BadEntryError."""
    found = get_kept(kind, site.organisation_id, values["id"])
    if found is not None:
        return found
    if kind is Goal or kind is Segment or kind is Funnel:
        _checked_name(kind, site, values["name"])
    else:
        _check_room(kind, site)
    kept = kind(organisation_id=site.organisation_id, **values)
    db.session.add(kept)
    db.session.flush()
    return kept


def save_funnel(site: Site, name: str, texts: Sequence[str]) -> Funnel:
    """These steps under a name that no other funnel has; raises BadEntryError."""
    steps = checked_steps(texts)
    name = _checked_name(Funnel, site, name.strip())
    return _added(Funnel(organisation_id=site.organisation_id, id=uuid7(), site_id=site.id, name=name, steps=steps))


def change_funnel(site: Site, funnel: Funnel, name: str | None, texts: Sequence[str] | None) -> None:
    """Another name, other steps, or both; raises BadEntryError."""
    if texts is not None:
        funnel.steps = checked_steps(texts)
    if name is not None and name.strip() != funnel.name:
        with db.session.no_autoflush:
            funnel.name = _checked_name(Funnel, site, name.strip())
    db.session.flush()


def checked_steps(texts: Sequence[str]) -> list[str]:
    """Steps as they are kept; raises BadEntryError."""
    try:
        steps = read_steps(texts)
    except BadFilterError as error:
        raise BadEntryError("steps", str(error)) from error
    if len(steps) < STEPS[0]:
        raise BadEntryError("steps", f"A funnel has {STEPS[0]} to {STEPS[-1]} steps. Add one more first.")
    return [write_filters([step])[0] for step in steps]


def pattern_of(value: str) -> tuple[Operator, str]:
    """How a page is compared: /orders/* begins with it, *thanks* contains it, anything else is it."""
    if value.startswith("*"):
        return Operator.CONTAINS, value.strip("*")
    if value.endswith("*"):
        return Operator.BEGINS, value[:-1]
    return Operator.IS, value


def _checked_filters(texts: Sequence[str]) -> list[str]:
    try:
        return write_filters(read_filters(texts))
    except BadFilterError as error:
        raise BadEntryError("filters", str(error)) from error


def _checked_name(kind: type[Goal] | type[Segment] | type[Funnel], site: Site, name: str) -> str:
    if not 1 <= len(name) <= NAME_LIMIT or not is_keepable(name):
        raise BadEntryError("name", f"Give it a name of at most {NAME_LIMIT} characters.")
    taken = select(kind.id).where(
        kind.organisation_id == site.organisation_id, kind.site_id == site.id, kind.name == name
    )
    if db.session.scalars(taken).first() is not None:
        raise BadEntryError("name", f"There is one called “{name}” already. Give another name.")
    _check_room(kind, site)
    return name


def _check_room(kind: Kept, site: Site) -> None:
    """So that nobody fills the page, or the database."""
    counted = select(func.count()).select_from(kind)
    of_site = counted.where(kind.organisation_id == site.organisation_id, kind.site_id == site.id)
    if (db.session.scalar(of_site) or 0) >= KEPT_LIMIT:
        raise BadEntryError("name", f"A site keeps at most {KEPT_LIMIT} of them. Delete one first.")


def _added(kept: T) -> T:
    db.session.add(kept)
    db.session.flush()
    return kept
