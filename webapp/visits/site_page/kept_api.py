"""`/api/v1/sites/…`: segments, notes and shared links. A site keeps at most a hundred of each, so nothing is paged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from flask import current_app, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.config import Settings
from webapp.extensions import db
from webapp.problems import Problem
from webapp.visits.site_page import service
from webapp.visits.site_page.kept_schemas import (
    LINK_EXAMPLE,
    NOTE_EXAMPLE,
    SEGMENT_EXAMPLE,
    NewNote,
    NewSegment,
    NewSharedLink,
    NoteList,
    NoteOut,
    SegmentList,
    SegmentOut,
    SharedLinkList,
    SharedLinkOut,
)
from webapp.visits.site_page.models import ChartNote, Segment, SharedLink
from webapp.visits.site_page.queries import list_all_notes, list_segments, list_shared_links
from webapp.visits.site_page.service import BadEntryError, T
from webapp.visits.sites_api import api_sites, site_of

NO_STORE = {"Cache-Control": "no-store"}


@api_sites.get("/<uuid:site_id>/segments")
@api_sites.auth_required(api_auth)
@api_sites.output(SegmentList)
def list_saved_segments(site_id: UUID) -> ResponseReturnValue:
    """List a site's segments"""
    site = site_of(site_id)
    return {"data": list_segments(site.organisation_id, site.id)}


@api_sites.post("/<uuid:site_id>/segments")
@api_sites.auth_required(api_auth)
@api_sites.input(NewSegment, example=SEGMENT_EXAMPLE)
@api_sites.output(SegmentOut, status_code=201)
def create_segment(site_id: UUID, json_data: dict[str, Any]) -> Any:
    """Keep filters under a name

    In place of those that had the name before.
    """
    site = site_of(site_id)
    with told_if_refused("segment"):
        segment = service.save_segment(site, json_data["name"], json_data["filters"], replaces=True)
    db.session.commit()
    return segment, 201


@api_sites.delete("/<uuid:site_id>/segments/<uuid:segment_id>")
@api_sites.auth_required(api_auth)
@api_sites.output({}, status_code=204)
def destroy_segment(site_id: UUID, segment_id: UUID) -> ResponseReturnValue:
    """Delete a segment"""
    return destroy(Segment, site_id, segment_id)


@api_sites.get("/<uuid:site_id>/notes")
@api_sites.auth_required(api_auth)
@api_sites.output(NoteList)
def list_chart_notes(site_id: UUID) -> ResponseReturnValue:
    """List the notes on a site's chart"""
    site = site_of(site_id)
    return {"data": list_all_notes(site.organisation_id, site.id)}


@api_sites.post("/<uuid:site_id>/notes")
@api_sites.auth_required(api_auth)
@api_sites.input(NewNote, example=NOTE_EXAMPLE)
@api_sites.output(NoteOut, status_code=201)
def create_note(site_id: UUID, json_data: dict[str, Any]) -> Any:
    """Add a note to a site's chart"""
    site = site_of(site_id)
    with told_if_refused("note"):
        note = service.add_note(site, json_data["day"], json_data["text"])
    db.session.commit()
    return note, 201


@api_sites.delete("/<uuid:site_id>/notes/<uuid:note_id>")
@api_sites.auth_required(api_auth)
@api_sites.output({}, status_code=204)
def destroy_note(site_id: UUID, note_id: UUID) -> ResponseReturnValue:
    """Delete a note"""
    return destroy(ChartNote, site_id, note_id)


@api_sites.get("/<uuid:site_id>/shared-links")
@api_sites.auth_required(api_auth)
@api_sites.output(SharedLinkList)
def list_links(site_id: UUID) -> ResponseReturnValue:
    """List the links that show a site to others"""
    site = site_of(site_id)
    return {"data": [_link(link) for link in list_shared_links(site.organisation_id, site.id)]}, 200, NO_STORE


@api_sites.post("/<uuid:site_id>/shared-links")
@api_sites.auth_required(api_auth)
@api_sites.input(NewSharedLink, example=LINK_EXAMPLE)
@api_sites.output(SharedLinkOut, status_code=201)
def create_link(site_id: UUID, json_data: dict[str, Any]) -> Any:
    """Make a link that shows a site to whoever has it

    It shows what passes its filters, and nothing can be changed with it.
    """
    site = site_of(site_id)
    with told_if_refused("link"):
        link = service.share(site, json_data["name"], json_data["filters"], shows_goals=json_data["shows_goals"])
    db.session.commit()
    return _link(link), 201, NO_STORE


@api_sites.delete("/<uuid:site_id>/shared-links/<uuid:link_id>")
@api_sites.auth_required(api_auth)
@api_sites.output({}, status_code=204)
def destroy_link(site_id: UUID, link_id: UUID) -> ResponseReturnValue:
    """Take a link back

    Whoever has it sees nothing from now on.
    """
    return destroy(SharedLink, site_id, link_id)


def destroy(kind: type[T], site_id: UUID, kept_id: UUID) -> ResponseReturnValue:
    """Delete what is kept beside this site; raises Problem where there is no such thing."""
    site = site_of(site_id)
    kept = db.session.get(kind, (site.organisation_id, kept_id))
    if kept is None or kept.site_id != site.id:
        raise Problem(404, "Not there", "There is nothing with this id beside this site.")
    service.delete_kept(kind, site.organisation_id, kept_id)
    db.session.commit()
    return "", 204


@contextmanager
def told_if_refused(what: str) -> Iterator[None]:
    """Tell why it can't be kept, and keep nothing of it."""
    try:
        yield
    except BadEntryError as error:
        db.session.rollback()
        errors = [{"field": error.field, "message": str(error)}]
        raise Problem(422, f"Invalid {what}", str(error), errors=errors) from error


def _link(link: SharedLink) -> dict[str, Any]:
    settings: Settings = current_app.extensions["settings"]
    return {
        "id": link.id,
        "name": link.name,
        "url": f"{settings.public_url}{url_for('shared_visits.index', secret=link.secret)}",
        "filters": link.filters,
        "shows_goals": link.shows_goals,
        "created_at": link.created_at,
    }
