"""Deleting what is kept beside a site's visits, and taking that back."""

from __future__ import annotations

from uuid import UUID

from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.signing import BadSignatureError
from webapp.pages import render_page
from webapp.visits.site_page import service
from webapp.visits.site_page.service import BadEntryError
from webapp.visits.site_page.undoing import KINDS, carried, carry, name_of, say_deleted
from webapp.visits.site_page.views import find_site
from webapp.visits.views import visits

PAGES = {
    "goal": "visits.show_goals",
    "segment": "visits.index",
    "funnel": "visits.show_funnel",
    "note": "visits.show_notes",
    "link": "visits.show_links",
}
"""Where each of them is listed."""


@visits.post("/goals/<uuid:kept_id>/delete")
def delete_goal(kept_id: UUID) -> ResponseReturnValue:
    return _delete("goal", kept_id)


@visits.post("/segments/<uuid:kept_id>/delete")
def delete_segment(kept_id: UUID) -> ResponseReturnValue:
    return _delete("segment", kept_id)


@visits.post("/funnels/<uuid:kept_id>/delete")
def delete_funnel(kept_id: UUID) -> ResponseReturnValue:
    """The name goes; what was counted stays."""
    return _delete("funnel", kept_id)


@visits.post("/notes/<uuid:kept_id>/delete")
def delete_note(kept_id: UUID) -> ResponseReturnValue:
    return _delete("note", kept_id)


@visits.post("/links/<uuid:kept_id>/delete")
def delete_link(kept_id: UUID) -> ResponseReturnValue:
    """Whoever has the link sees nothing from now on, unless that is taken back."""
    return _delete("link", kept_id)


@visits.post("/kept/restore")
def restore_kept() -> ResponseReturnValue:
    """Take a deletion back."""
    try:
        kind, values = carried(current_organisation().id, request.form.get("undo", ""))
    except BadSignatureError:
        abort(422, "This can't be taken back any more. Make it again.")
    site = find_site(values["site_id"])
    try:
        kept = service.restore_kept(KINDS[kind], site, values)
    except BadEntryError as error:
        flash(str(error), "error")
        return redirect(_page_of(kind, site.id), code=303)
    name = name_of(kept)
    db.session.commit()
    flash(f"“{name}” is back.", "success")
    return redirect(_page_of(kind, site.id), code=303)


def _delete(kind: str, kept_id: UUID) -> ResponseReturnValue:
    """Delete it, and go back to where it was listed; somebody else's is not there.

    What no button could carry is asked for first.
    """
    kept = service.get_kept(KINDS[kind], current_organisation().id, kept_id)
    if kept is None:
        abort(404)
    name, site_id, undo = name_of(kept), kept.site_id, carry(kept)
    if not undo and request.form.get("sure") != "yes":
        return render_page(
            "visits/sure.html",
            title=f"Delete “{name}”?",
            text="It holds so much that the deletion could not be taken back.",
            action="Delete",
            fields=[("sure", "yes")],
            back=_page_of(kind, site_id),
        )
    service.delete_kept(KINDS[kind], kept.organisation_id, kept.id)
    db.session.commit()
    say_deleted(name, undo)
    return redirect(_page_of(kind, site_id), code=303)


def _page_of(kind: str, site_id: UUID) -> str:
    if kind in {"segment", "funnel"}:
        return url_for(PAGES[kind], site=site_id)
    return url_for(PAGES[kind], site_id=site_id)
