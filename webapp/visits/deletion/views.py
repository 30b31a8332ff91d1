"""The pages on which a site is deleted and brought back. Only owners may."""

from __future__ import annotations

from uuid import UUID

from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from webapp.accounts.current import current_organisation, is_owner
from webapp.accounts.queries import list_members
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits.deletion.service import KEPT_FOR, OtherNameError, delete_site, restore_site
from webapp.visits.models import Site
from webapp.visits.site_queries import count_drops_since, find_deleted_site, find_site, list_deleted_sites
from webapp.visits.views import visits

OWNERS_ONLY = "Only an owner of the organisation may delete a site, or bring one back."


@visits.get("/sites/<uuid:site_id>/delete")
def confirm_deletion(site_id: UUID) -> ResponseReturnValue:
    """What goes, what stays, and a field for the site's name."""
    return _confirm_page(_own_site(site_id))


@visits.post("/sites/<uuid:site_id>/delete")
def destroy_site(site_id: UUID) -> ResponseReturnValue:
    """Delete it, if its name was typed."""
    site = _own_site(site_id)
    try:
        delete_site(site, request.form.get("typed_name", ""), utc_now(), current_user.id)
    except OtherNameError as error:
        return _confirm_page(site, problem=str(error), status=422)
    db.session.commit()
    flash(f"{site.name} is deleted. It can be restored for {KEPT_FOR.days} days.", "success")
    return redirect(url_for("visits.show_deleted_sites"), 303)


@visits.get("/sites/deleted")
def show_deleted_sites() -> ResponseReturnValue:
    """Those that may come back."""
    organisation_id = current_organisation().id
    sites = list_deleted_sites(organisation_id)
    return render_page(
        "visits/deleted_sites.html",
        sites=sites,
        reported={site.id: count_drops_since(site) for site in sites},
        people={member.user_id: member.name for member in list_members(organisation_id)},
        kept_for=KEPT_FOR,
        may_restore=is_owner(),
    )


@visits.post("/sites/<uuid:site_id>/restore")
def restore(site_id: UUID) -> ResponseReturnValue:
    """Bring one back as it was."""
    site = find_deleted_site(current_organisation().id, site_id) or abort(404)
    if not is_owner():
        abort(403, OWNERS_ONLY)
    restore_site(site)
    db.session.commit()
    flash(f"{site.name} is back. Within half a minute its visits are taken again.", "success")
    return redirect(url_for("visits.index", site=site.id), 303)


def _own_site(site_id: UUID) -> Site:
    site = find_site(current_organisation().id, site_id) or abort(404)
    if not is_owner():
        abort(403, OWNERS_ONLY)
    return site


def _confirm_page(site: Site, *, problem: str = "", status: int = 200) -> ResponseReturnValue:
    return render_page("visits/delete_site.html", status=status, site=site, problem=problem, kept_days=KEPT_FOR.days)
