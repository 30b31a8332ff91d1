"""A site's snippet, its options, and the check of its installation: was anything heard, and if not, why?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from flask import abort, current_app, request
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError

from webapp.accounts.current import current_organisation
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.live.channels import stream_url, visits_channel
from webapp.pages import render_page
from webapp.visits import queries, snippets
from webapp.visits.heard import Heard, read_heard
from webapp.visits.models import Site
from webapp.visits.site_queries import find_site, list_drops
from webapp.visits.snippets import Chosen, make_noscript, make_snippet
from webapp.visits.views import visits

TEMPLATE = "visits/site.html"
LIVE_FOR = timedelta(minutes=30)


@dataclass(frozen=True)
class Message:
    """Something that was heard, with its time as people read it."""

    heard: Heard
    at: datetime

    @classmethod
    def of(cls, heard: Heard | None) -> Message | None:
        """The message, if there was one."""
        return None if heard is None else cls(heard, datetime.fromtimestamp(heard.at_ms / 1000, UTC))


@visits.get("/sites/<uuid:site_id>")
def show_site(site_id: UUID) -> ResponseReturnValue:
    """How to embed the tracker in this site, and whether it is heard."""
    site = _find_site(site_id)
    return render_page(TEMPLATE, block="snippet", **_context(site))


@visits.get("/sites/<uuid:site_id>/heard")
def show_heard(site_id: UUID) -> ResponseReturnValue:
    """The live part of it."""
    return render_page(TEMPLATE, block="heard", **_context(_find_site(site_id)))


def _find_site(site_id: UUID) -> Site:
    return find_site(current_organisation().id, site_id) or abort(404)


def _context(site: Site) -> dict[str, Any]:
    settings: Settings = current_app.extensions["settings"]
    chosen = Chosen.read(request.args)
    return {
        "site": site,
        "chosen": chosen,
        "options": snippets.OPTIONS,
        "more_options": (snippets.NOSCRIPT, snippets.BARE, snippets.PINNED),
        "snippet": make_snippet(settings, site.site_key, site.query_keys, chosen),
        "noscript": make_noscript(settings, site.site_key) if snippets.NOSCRIPT.name in chosen.names else "",
        "edge_url": settings.edge_url,
        "stream_url": stream_url(settings, visits_channel(site.organisation_id)),
        **_heard(site),
    }


def _heard(site: Site) -> dict[str, Any]:
    """What was heard of the site, what was refused after that, and what is known of the days before."""
    taken, refused, can_tell = _read(site)
    now = utc_now()
    is_newer = refused and (not taken or refused.at >= taken.at)
    return {
        "now": now,
        "can_tell": can_tell,
        "taken": taken,
        "refused": refused if is_newer else None,
        "is_live": taken is not None and now - taken.at < LIVE_FOR,
        "was_counted": taken is not None or queries.has_pageviews(site.organisation_id, [site.id]),
        "drops": [one for one in list_drops(site.organisation_id, site.id, now.date()) if one.week_count],
    }


def _read(site: Site) -> tuple[Message | None, Message | None, bool]:
    broker: redis.Redis = current_app.extensions["broker"]
    try:
        taken, refused = read_heard(broker, site.organisation_id, site.id)
    except (RedisError, OSError):
        return None, None, False
    return Message.of(taken), Message.of(refused), True
