"""`/api/v1/sites`: an organisation's websites, their settings, and what was not counted on them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema
from apiflask.fields import Boolean, Integer, List, Nested, String
from flask import url_for
from flask.typing import ResponseReturnValue
from marshmallow import validate

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.schemas import Text, UtcTime
from webapp.visits.counting.rebuilds import start_rebuild_if_stale
from webapp.visits.models import DEFAULT_RATE_LIMIT, Site
from webapp.visits.queries import list_sites
from webapp.visits.service import BadSiteError, create_site
from webapp.visits.site_queries import find_site, list_drops
from webapp.visits.site_settings import RATE_LIMITS, RETENTION_DAYS, BadSettingsError, change_site, replace_secret

api_sites = APIBlueprint("api_sites", __name__, url_prefix="/api/v1/sites", tag="Sites")

EXAMPLE = {"name": "Shop", "origins": ["https://shop.example"], "time_zone": "Europe/Vienna"}


class SiteSettings(Schema):
    """What a site takes and leaves out."""

    name = Text(metadata={"example": "Shop"})
    origins = List(Text(), metadata={"description": "Websites whose pages may report.", "example": EXAMPLE["origins"]})
    time_zone = Text(metadata={"example": "Europe/Vienna"})
    retention_days = Integer(
        strict=True,
        allow_none=True,
        metadata={"description": f"{RETENTION_DAYS[0]} to {RETENTION_DAYS[-1]}; null keeps single visits for ever."},
    )
    query_keys = List(Text(), metadata={"description": "Kept in a page's address; all others are left out."})
    excluded_pages = List(Text(), metadata={"description": "Paths; * stands for anything.", "example": ["/admin/*"]})
    excluded_addresses = List(Text(), metadata={"description": "IP addresses and ranges."})
    excluded_countries = List(Text(), metadata={"description": "ISO 3166, two letters."})
    drops_bots = Boolean(metadata={"default": True})
    respects_dnt = Boolean(metadata={"description": "Do Not Track and Global Privacy Control.", "default": False})
    is_cookieless = Boolean(metadata={"description": "Visitors are known for a day only.", "default": False})
    counts_fragments = Boolean(metadata={"description": "What stands behind # is a page.", "default": False})
    rate_limit = Integer(
        strict=True,
        validate=validate.Range(RATE_LIMITS[0], RATE_LIMITS[-1]),
        metadata={"description": "Most beacons a second.", "default": DEFAULT_RATE_LIMIT},
    )


class NewSite(SiteSettings):
    """A site as one wants it; what is left out has its usual value."""

    name = Text(required=True, metadata={"example": "Shop"})
    origins = List(Text(), required=True, validate=validate.Length(1), metadata={"example": EXAMPLE["origins"]})


class SiteOut(SiteSettings):
    """A site as it stands."""

    id = String(metadata={"format": "uuid"})
    site_key = String(metadata={"description": "Public: it can report visits and do nothing else."})
    created_at = UtcTime()


class SiteList(Schema):
    """All of the organisation's sites, oldest first."""

    data = List(Nested(SiteOut))


class SiteSecret(Schema):
    """What a site and its server share."""

    secret = String()


class DropsOut(Schema):
    """Beacons that were not counted for one reason; days are UTC."""

    reason = String()
    explanation = String()
    today_count = Integer()
    week_count = Integer()
    month_count = Integer()


class DropsList(Schema):
    """The reasons of the last 30 days, the most frequent first."""

    data = List(Nested(DropsOut))


@api_sites.get("")
@api_sites.auth_required(api_auth)
@api_sites.output(SiteList)
def index() -> ResponseReturnValue:
    """List sites"""
    return {"data": list_sites(current_organisation().id)}


@api_sites.post("")
@api_sites.auth_required(api_auth)
@api_sites.input(NewSite, example=EXAMPLE)
@api_sites.output(SiteOut, status_code=201)
def create(json_data: dict[str, Any]) -> Any:
    """Create a site

    Its days and months are cut in the organisation's time zone, unless it has one of its own.
    """
    organisation = current_organisation()
    try:
        site = create_site(organisation.id, json_data["name"], json_data["origins"][0], organisation.time_zone)
        change_site(site, json_data)
    except BadSiteError as error:
        raise _refused({"origins" if error.field == "origin" else error.field: str(error)}) from error
    except BadSettingsError as error:
        raise _refused(error.errors) from error
    db.session.commit()
    return site, 201, {"Location": url_for(".show", site_id=site.id)}


@api_sites.get("/<uuid:site_id>")
@api_sites.auth_required(api_auth)
@api_sites.output(SiteOut)
def show(site_id: UUID) -> Any:
    """Read a site"""
    return site_of(site_id)


@api_sites.patch("/<uuid:site_id>")
@api_sites.auth_required(api_auth)
@api_sites.input(SiteSettings, example={"excluded_pages": ["/admin/*"]})
@api_sites.output(SiteOut)
def update(site_id: UUID, json_data: dict[str, Any]) -> Any:
    """Change some of a site's settings

    Those that are not named stay. Beacons are taken by the new ones within half a minute. In another time zone a job
    cuts the days and months that were counted so far anew.
    """
    site = site_of(site_id)
    try:
        change_site(site, json_data)
    except BadSettingsError as error:
        raise _refused(error.errors) from error
    job = start_rebuild_if_stale(site)
    db.session.commit()
    if job:
        announce(job)
    return site


@api_sites.get("/<uuid:site_id>/secret")
@api_sites.auth_required(api_auth)
@api_sites.output(SiteSecret)
def show_secret(site_id: UUID) -> ResponseReturnValue:
    """Read a site's secret

    With it the site's server signs identities and whole beacons (HMAC-SHA256, in hexadecimal).
    """
    return {"secret": site_of(site_id).identify_secret}, 200, {"Cache-Control": "no-store"}


@api_sites.post("/<uuid:site_id>/secret")
@api_sites.auth_required(api_auth)
@api_sites.output(SiteSecret, status_code=201)
def create_secret(site_id: UUID) -> ResponseReturnValue:
    """Replace a site's secret

    What is signed with the old one is refused within half a minute.
    """
    site = site_of(site_id)
    replace_secret(site)
    db.session.commit()
    return {"secret": site.identify_secret}, 201, {"Cache-Control": "no-store"}


@api_sites.get("/<uuid:site_id>/drops")
@api_sites.auth_required(api_auth)
@api_sites.output(DropsList)
def drops(site_id: UUID) -> ResponseReturnValue:
    """Read what was not counted on a site, and why"""
    site = site_of(site_id)
    return {"data": list_drops(site.organisation_id, site.id, utc_now().date())}


def site_of(site_id: UUID) -> Site:
    """The organisation's site of this id; raises Problem."""
    site = find_site(current_organisation().id, site_id)
    if site is None:
        raise Problem(404, "No such site", "There is no site with this id, or it belongs to another organisation.")
    return site


def _refused(errors: dict[str, str]) -> Problem:
    detail = "Some settings cannot be like this; `errors` says which and why."
    return Problem(422, "Invalid site", detail, errors=[{"field": name, "message": errors[name]} for name in errors])
