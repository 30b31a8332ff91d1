"""Saved funnels: keeping the steps of the page under a name, renaming, deleting and taking that back."""

from __future__ import annotations

import json
from uuid import UUID

from flask import abort, current_app, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.signing import BadSignatureError, sign, unsign
from webapp.pages import flash_with_undo
from webapp.visits.models import Site
from webapp.visits.site_page import service
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.filters import BadFilterError
from webapp.visits.site_page.journey_views import funnel_page, funnel_url
from webapp.visits.site_page.journeys import read_steps
from webapp.visits.site_page.models import Funnel
from webapp.visits.site_page.queries import get_funnel
from webapp.visits.site_page.service import BadEntryError
from webapp.visits.site_page.views import find_site
from webapp.visits.views import visits

UNDO, UNDO_SECONDS = "deleted-funnel", 86_400


@visits.post("/sites/<uuid:site_id>/funnels")
def save_funnel(site_id: UUID) -> ResponseReturnValue:
    """Keep the steps under a name, for everybody in the organisation, and show them again."""
    choice, texts = read_choice(find_site(site_id), request.form, utc_now()), request.form.getlist("step")
    try:
        funnel = service.save_funnel(choice.site, request.form.get("name", ""), texts)
    except BadEntryError as error:
        return _refused(choice, texts, str(error))
    db.session.commit()
    flash(f"“{funnel.name}” is saved.", "success")
    return redirect(funnel_url(choice, read_steps(texts)), code=303)


@visits.post("/funnels/<uuid:funnel_id>/rename")
def rename_funnel(funnel_id: UUID) -> ResponseReturnValue:
    """Another name for the same steps."""
    funnel, site = _find(funnel_id)
    choice = read_choice(site, request.form, utc_now())
    try:
        service.change_funnel(site, funnel, request.form.get("name", ""), None)
    except BadEntryError as error:
        return _refused(choice, funnel.steps, str(error))
    db.session.commit()
    flash(f"The funnel is called “{funnel.name}” now.", "success")
    return redirect(funnel_url(choice, read_steps(funnel.steps)), code=303)


@visits.post("/funnels/<uuid:funnel_id>/delete")
def delete_funnel(funnel_id: UUID) -> ResponseReturnValue:
    """The name goes; what was counted stays, and the undo brings it back as it was."""
    funnel, site = _find(funnel_id)
    kept = {"id": str(funnel.id), "site": str(site.id), "name": funnel.name, "steps": funnel.steps}
    service.delete_kept(Funnel, funnel.organisation_id, funnel.id)
    db.session.commit()
    undo = sign(_secret(), f"{UNDO}-{site.organisation_id.hex}", json.dumps(kept))
    flash_with_undo(f"“{kept['name']}” is deleted.", url_for("visits.restore_funnel"), undo)
    return redirect(url_for("visits.show_funnel", site=site.id), code=303)


@visits.post("/funnels/restore")
def restore_funnel() -> ResponseReturnValue:
    """Take a deletion back."""
    purpose = f"{UNDO}-{current_organisation().id.hex}"
    try:
        kept = json.loads(unsign(_secret(), purpose, request.form.get("undo", ""), UNDO_SECONDS))
    except BadSignatureError:
        abort(422, "This can't be taken back any more. Save the funnel again.")
    site, funnel_id = find_site(kept["site"]), UUID(kept["id"])
    if get_funnel(site.organisation_id, funnel_id) is None:
        try:
            service.save_funnel(site, kept["name"], kept["steps"], funnel_id)
        except BadEntryError as error:
            return _refused(read_choice(site, request.args, utc_now()), kept["steps"], str(error))
        db.session.commit()
    flash(f"“{kept['name']}” is back.", "success")
    return redirect(url_for("visits.show_funnel", site=site.id), code=303)


def _find(funnel_id: UUID) -> tuple[Funnel, Site]:
    funnel = get_funnel(current_organisation().id, funnel_id)
    if funnel is None:
        abort(404)
    return funnel, find_site(funnel.site_id)


def _refused(choice: Choice, texts: list[str], error: str) -> ResponseReturnValue:
    """The page as it was, with what was wrong."""
    db.session.rollback()
    try:
        return funnel_page(choice, read_steps(texts), error)
    except BadFilterError:
        return funnel_page(choice, [], error)


def _secret() -> str:
    settings: Settings = current_app.extensions["settings"]
    return settings.secret_key
