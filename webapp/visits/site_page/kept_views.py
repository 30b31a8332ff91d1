"""Goals, segments and notes: making, listing and deleting what is kept beside a site's visits."""

from __future__ import annotations

from uuid import UUID

from flask import abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits.models import Site
from webapp.visits.questions import PAGE
from webapp.visits.site_page import service
from webapp.visits.site_page.choice import read_choice
from webapp.visits.site_page.filters import write_filters
from webapp.visits.site_page.goals import words_of
from webapp.visits.site_page.models import ChartNote, Goal, Segment
from webapp.visits.site_page.queries import list_all_notes, list_goals
from webapp.visits.site_page.service import BadEntryError, Kept
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


@visits.post("/goals/<uuid:goal_id>/delete")
def delete_goal(goal_id: UUID) -> ResponseReturnValue:
    goal = db.session.get(Goal, (current_organisation().id, goal_id))
    return _delete(Goal, goal, "visits.show_goals")


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


@visits.post("/notes/<uuid:note_id>/delete")
def delete_note(note_id: UUID) -> ResponseReturnValue:
    note = db.session.get(ChartNote, (current_organisation().id, note_id))
    return _delete(ChartNote, note, "visits.show_notes")


@visits.post("/sites/<uuid:site_id>/segments")
def save_segment(site_id: UUID) -> ResponseReturnValue:
    """Keep the filters of a page under a name, and show that page again."""
    choice = read_choice(find_site(site_id), request.form, utc_now())
    try:
        service.save_segment(choice.site, request.form.get("name", ""), write_filters(choice.filters))
    except BadEntryError as error:
        abort(422, str(error))
    db.session.commit()
    return redirect(choice.url(), code=303)


@visits.post("/segments/<uuid:segment_id>/delete")
def delete_segment(segment_id: UUID) -> ResponseReturnValue:
    segment = db.session.get(Segment, (current_organisation().id, segment_id))
    return _delete(Segment, segment, "visits.index")


def _delete(kind: Kept, kept: Goal | Segment | ChartNote | None, endpoint: str) -> ResponseReturnValue:
    """Delete it, and go back to its site's page; somebody else's is not there."""
    if kept is None:
        abort(404)
    site_id = str(kept.site_id)
    service.delete_kept(kind, kept.organisation_id, kept.id)
    db.session.commit()
    if endpoint == "visits.index":
        return redirect(url_for(endpoint, site=site_id), code=303)
    return redirect(url_for(endpoint, site_id=site_id), code=303)


def _goals_page(site: Site, values: dict[str, str], errors: dict[str, str], status: int) -> ResponseReturnValue:
    goals = [(goal, words_of(goal)) for goal in list_goals(site.organisation_id, site.id)]
    return render_page("visits/goals.html", status=status, site=site, goals=goals, values=values, errors=errors)


def _notes_page(site: Site, values: dict[str, str], errors: dict[str, str], status: int) -> ResponseReturnValue:
    notes = list_all_notes(site.organisation_id, site.id)
    return render_page("visits/notes.html", status=status, site=site, notes=notes, values=values, errors=errors)
