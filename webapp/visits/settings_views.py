"""The page of a site's settings: what it takes, what it leaves out, and what was not counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from webapp.accounts.current import current_organisation
from webapp.accounts.time_zones import TIME_ZONES
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits.counting.rebuilds import start_rebuild, start_rebuild_if_stale
from webapp.visits.deletion.service import KEPT_FOR
from webapp.visits.models import Site
from webapp.visits.site_queries import find_site, list_drops
from webapp.visits.site_settings import RATE_LIMITS, RETENTION_DAYS, BadSettingsError, change_site, replace_secret
from webapp.visits.views import visits

LISTS = ("origins", "query_keys", "excluded_pages", "excluded_addresses", "excluded_countries")
FLAGS = ("drops_bots", "respects_dnt", "is_cookieless", "counts_fragments")


@visits.get("/sites/<uuid:site_id>/settings")
def edit_site(site_id: UUID) -> ResponseReturnValue:
    """The settings as they are; with `show=secret` the secret, too."""
    site = _site_or_404(site_id)
    return _page(site, _texts_of(site), is_secret_shown=request.args.get("show") == "secret")


@visits.post("/sites/<uuid:site_id>/settings")
def update_site(site_id: UUID) -> ResponseReturnValue:
    """Change all of them, or say beside each field what is wrong."""
    site = _site_or_404(site_id)
    try:
        change_site(site, _wanted(request.form))
    except BadSettingsError as error:
        return _page(site, request.form, errors=error.errors, status=422)
    job = start_rebuild_if_stale(site, current_user.id)
    db.session.commit()
    if job:
        announce(job)
        flash("The days and months that were counted so far are being cut in the new time zone.", "info")
    flash("The settings are saved. Within half a minute they hold for every visit.", "success")
    return redirect(url_for("visits.edit_site", site_id=site.id), 303)


@visits.post("/sites/<uuid:site_id>/secret")
def create_site_secret(site_id: UUID) -> ResponseReturnValue:
    """Another secret in place of the one there is."""
    site = _site_or_404(site_id)
    replace_secret(site)
    db.session.commit()
    flash("There is a new secret. Put it into your server; the old one ends within half a minute.", "success")
    return redirect(url_for("visits.edit_site", site_id=site.id, show="secret", _anchor="secret"), 303)


@visits.post("/sites/<uuid:site_id>/rebuild")
def rebuild_site(site_id: UUID) -> ResponseReturnValue:
    """Count its days, months, pages and lists again from its single visits, by a job."""
    site = _site_or_404(site_id)
    job = start_rebuild(site.organisation_id, site.id, current_user.id)
    db.session.commit()
    announce(job)
    flash("It is being counted again. Visits that come meanwhile are counted as ever.", "success")
    return redirect(url_for("visits.index", site=site.id), 303)


def _site_or_404(site_id: UUID) -> Site:
    site = find_site(current_organisation().id, site_id)
    if site is None:
        abort(404)
    return site


def _page(
    site: Site,
    values: Mapping[str, Any],
    *,
    errors: Mapping[str, str] | None = None,
    is_secret_shown: bool = False,
    status: int = 200,
) -> ResponseReturnValue:
    response = render_page(
        "visits/settings.html",
        status=status,
        site=site,
        values=values,
        errors=errors or {},
        time_zones=[(name, name.replace("_", " ")) for name in TIME_ZONES],
        drops=list_drops(current_organisation().id, site.id, utc_now().date()),
        is_secret_shown=is_secret_shown,
        kept_days=KEPT_FOR.days,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _texts_of(site: Site) -> dict[str, str]:
    """The settings as a form holds them: lists line by line, flags as what a ticked box sends."""
    return {
        "name": site.name,
        "time_zone": site.time_zone,
        "retention_days": str(site.retention_days or ""),
        "rate_limit": str(site.rate_limit),
        **{name: "\n".join(getattr(site, name)) for name in LISTS},
        **{name: "yes" for name in FLAGS if getattr(site, name)},
    }


def _wanted(form: Mapping[str, str]) -> dict[str, Any]:
    """What a form wants. A number that is none is refused as one that is not allowed."""
    days = form.get("retention_days", "").strip()
    return {
        "name": form.get("name", ""),
        "time_zone": form.get("time_zone", ""),
        "retention_days": _number(days, RETENTION_DAYS) if days else None,
        "rate_limit": _number(form.get("rate_limit", ""), RATE_LIMITS),
        **{name: form.get(name, "").replace(",", "\n").split() for name in LISTS if name != "excluded_pages"},
        "excluded_pages": [line.strip() for line in form.get("excluded_pages", "").splitlines() if line.strip()],
        **{name: form.get(name) == "yes" for name in FLAGS},
    }


def _number(text: str, allowed: range) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else allowed.start - 1
