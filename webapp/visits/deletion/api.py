"""Deleting sites over the API, and bringing them back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import Schema
from apiflask.fields import List, Nested
from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.schemas import Text, UtcTime
from webapp.visits.deletion.service import KEPT_FOR, OtherNameError, delete_site, gone_at, restore_site
from webapp.visits.models import Site
from webapp.visits.site_queries import find_deleted_site, find_site, list_deleted_sites
from webapp.visits.sites_api import SiteOut, api_sites


class ConfirmName(Schema):
    """Which site the caller means to delete."""

    confirm = Text(load_default="", metadata={"description": "The site's exact name.", "example": "Shop"})


class DeletedSite(SiteOut):
    """A site that may come back."""

    deleted_at = UtcTime()
    gone_at = UtcTime(metadata={"description": "From then on it is removed for good."})


class DeletedSites(Schema):
    """The latest deleted first."""

    data = List(Nested(DeletedSite))


@api_sites.delete("/<uuid:site_id>")
@api_sites.auth_required(api_auth)
@api_sites.input(ConfirmName, location="query")
@api_sites.output(DeletedSite)
@api_sites.doc(
    summary="Delete a site",
    description="It vanishes from every list, and within half a minute its beacons are refused (`site-deleted`)."
    f" It can be restored for {KEPT_FOR.days} days; then a job removes all that was counted and kept of it.",
    responses={404: "No such site", 409: "The site has another name than `confirm` says"},
)
def destroy(site_id: UUID, query_data: dict[str, Any]) -> Any:
    site = find_site(current_organisation().id, site_id)
    if site is None:
        raise _no_such_site()
    try:
        delete_site(site, query_data["confirm"], utc_now())
    except OtherNameError as error:
        raise Problem(409, "Another site", "`confirm` must be the site's exact name.") from error
    db.session.commit()
    return _as_deleted(site)


@api_sites.get("/deleted")
@api_sites.auth_required(api_auth)
@api_sites.output(DeletedSites)
def index_deleted() -> ResponseReturnValue:
    """List deleted sites

    Those that can still be restored.
    """
    return {"data": [_as_deleted(site) for site in list_deleted_sites(current_organisation().id)]}


@api_sites.post("/<uuid:site_id>/restore")
@api_sites.auth_required(api_auth)
@api_sites.output(SiteOut)
def restore_deleted(site_id: UUID) -> Any:
    """Restore a site

    It comes back as it was. One that is there already is left alone.
    """
    organisation_id = current_organisation().id
    there = find_site(organisation_id, site_id)
    if there is not None:
        return there
    site = find_deleted_site(organisation_id, site_id)
    if site is None:
        raise _no_such_site()
    restore_site(site)
    db.session.commit()
    return site


def _as_deleted(site: Site) -> dict[str, Any]:
    shown = {name: getattr(site, name) for name in DeletedSite().fields if name != "gone_at"}
    return {**shown, "gone_at": gone_at(site)}


def _no_such_site() -> Problem:
    return Problem(404, "No such site", "There is no site with this id, or it belongs to another organisation.")
