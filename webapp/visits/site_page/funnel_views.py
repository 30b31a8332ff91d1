"""Saved funnels: keeping the steps of the page under a name, and renaming."""

from __future__ import annotations

from uuid import UUID

from flask import abort, flash, redirect, request
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.clock import utc_now
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
