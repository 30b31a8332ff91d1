"""Goals, segments and notes: making and listing what is kept beside a site's visits."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.paths import own_path
from webapp.pages import render_page
from webapp.visits.models import Site
from webapp.visits.questions import PAGE
from webapp.visits.site_page import service
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.filters import chips_of, read_filters, write_filters
from webapp.visits.site_page.goals import words_of
from webapp.visits.site_page.queries import find_segment, list_all_notes, list_goals
from webapp.visits.site_page.service import BadEntryError, NameTakenError
from webapp.visits.site_page.views import find_site
from webapp.visits.views import visits


@visits.get("/sites/<uuid:site_id>/goals")
def show_goals(site_id: UUID) -> ResponseReturnValue:
    """The site's goals, and the form that makes one."""
    return _goals_page(find_site(site_id), {}, {}, 200)


@visits.post("/sites/<uuid:site_id>/goals")
def add_goal(site_id: UUID) -> ResponseReturnValue:
    site = find_site(site_id)
    form = request.form
    try:
        service.create_goal(site, form.get("name", ""), form.get("kind", PAGE), form.get("value", ""))
    except BadEntryError as error:
        return _goals_page(site, dict(form), {error.field: str(error)}, 422)
    db.session.commit()
    return redirect(url_for("visits.show_goals", site_id=site.id), code=303)


@visits.get("/sites/<uuid:site_id>/notes")
def show_notes(site_id: UUID) -> ResponseReturnValue:
    """The notes on the site's chart, and the form that adds one."""
    return _notes_page(find_site(site_id), {}, {}, 200)


@visits.post("/sites/<uuid:site_id>/notes")
def add_note(site_id: UUID) -> ResponseReturnValue:
    site = find_site(site_id)
    try:
        service.add_note(site, request.form.get("day", ""), request.form.get("text", ""))
    except BadEntryError as error:
        return _notes_page(site, dict(request.form), {error.field: str(error)}, 422)
    db.session.commit()
    return redirect(url_for("visits.show_notes", site_id=site.id), code=303)


@visits.post("/sites/<uuid:site_id>/segments")
def save_segment(site_id: UUID) -> ResponseReturnValue:
    """Keep the filters of a page under a name, and show that page again."""
    choice = read_choice(find_site(site_id), request.form, utc_now())
    back = own_path(request.form.get("back"), choice.url())
    name, replaces = request.form.get("name", ""), request.form.get("replace") == "yes"
    try:
        service.save_segment(choice.site, name, write_filters(choice.filters), replaces=replaces)
    except NameTakenError:
        return _ask_to_replace(choice, name.strip(), back)
    except BadEntryError as error:
        abort(422, str(error))
    db.session.commit()
    flash(f"“{name.strip()}” is saved. Find it under Filter; a shared link can be limited to it.", "success")
    return redirect(back, code=303)


def _ask_to_replace(choice: Choice, name: str, back: str) -> ResponseReturnValue:
    """Whether the segment of this name shall be these filters from now on."""
    segment = find_segment(choice.organisation_id, choice.site.id, name)
    filters = write_filters(choice.filters)
    return render_page(
        "visits/sure.html",
        status=409,
        title=f"Replace “{name}”?",
        text=f"There is a segment of this name: {_in_words(segment.filters if segment else [])}."
        f" It would be these filters from now on: {_in_words(filters)}.",
        action="Replace it",
        fields=[("name", name), ("replace", "yes"), ("back", back), *_fields_of(choice)],
        back=back,
    )


def _fields_of(choice: Choice) -> list[tuple[str, str]]:
    """What a form posts to come back to the choice."""
    return [
        (name, one)
        for name, value in choice.arguments().items()
        if value and name != "site"
        for one in (value if isinstance(value, list) else [value])
    ]


def _in_words(filters: Sequence[str]) -> str:
    return "; ".join(chip.text for chip in chips_of(read_filters(filters)))


def _goals_page(site: Site, values: dict[str, str], errors: dict[str, str], status: int) -> ResponseReturnValue:
    goals = [(goal, words_of(goal)) for goal in list_goals(site.organisation_id, site.id)]
    return render_page("visits/goals.html", status=status, site=site, goals=goals, values=values, errors=errors)


def _notes_page(site: Site, values: dict[str, str], errors: dict[str, str], status: int) -> ResponseReturnValue:
    today = utc_now().astimezone(ZoneInfo(site.time_zone)).date()
    notes = list_all_notes(site.organisation_id, site.id)
    values = {"day": today.isoformat(), **values}
    return render_page("visits/notes.html", status=status, site=site, notes=notes, values=values, errors=errors)
