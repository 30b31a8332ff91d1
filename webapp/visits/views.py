"""Sites: making one, and what it embeds. What was seen on them is shown by `site_page`."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.current import current_organisation
from webapp.config import Settings
from webapp.extensions import db
from webapp.pages import render_page
from webapp.visits.models import Site
from webapp.visits.service import BadSiteError, create_site
from webapp.visits.snippets import make_snippet

visits = Blueprint("visits", __name__, url_prefix="/visits")


@visits.get("/sites/new")
def new_site() -> ResponseReturnValue:
    return render_page("visits/new.html", values={}, errors={}, is_first=False)


@visits.post("/sites")
def add_site() -> ResponseReturnValue:
    """Make a site, then show its snippet."""
    organisation = current_organisation()
    try:
        name, origin = request.form.get("name", ""), request.form.get("origin", "")
        site = create_site(organisation.id, name, origin, organisation.time_zone)
    except BadSiteError as error:
        errors = {error.field: str(error)}
        return render_page("visits/new.html", status=422, values=request.form, errors=errors, is_first=False)
    db.session.commit()
    return redirect(url_for("visits.show_site", site_id=site.id), code=303)


def snippet_of(site: Site) -> str:
    """What a website embeds, without options."""
    settings: Settings = current_app.extensions["settings"]
    return make_snippet(settings, site.site_key, site.query_keys)
