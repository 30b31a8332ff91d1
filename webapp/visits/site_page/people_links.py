"""From a site's page to the contacts who did what it is filtered by, where one condition says it."""

from __future__ import annotations

from flask import url_for

from webapp.visits.behaviour.conditions import Behaviour, What
from webapp.visits.behaviour.links import behaviour_of, behaviour_of_value
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.fields import OTHER, PAGE_FIELDS
from webapp.visits.site_page.lists import Line

TELLING = {what.value for what in What}


def people_url(choice: Choice) -> str | None:
    """The contacts behind the page as it is filtered; strangers with a link are led to nobody."""
    if choice.secret:
        return None
    return _url_of(behaviour_of(choice.filters, choice.period, choice.site.id))


def has_people(choice: Choice, field: str) -> bool:
    """Whether contacts can be told by the lines of a list: by one thing that they did, and nothing besides."""
    return field in TELLING and not choice.filters and not choice.secret


def people_url_of_line(choice: Choice, line: Line) -> str | None:
    """The contacts behind a line of such a list."""
    if line.value == OTHER:
        return None
    value = line.label if line.field in PAGE_FIELDS and not line.note else line.value
    return _url_of(behaviour_of_value(line.field, value, choice.period, choice.site.id))


def _url_of(behaviour: Behaviour | None) -> str | None:
    return url_for("contacts.index", did=behaviour.as_text()) if behaviour else None
