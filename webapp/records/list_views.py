"""The list of a kind of record: filtered, sorted, paged; all of that stands in the address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from flask import Response, abort, current_app, request, url_for

from webapp.accounts.current import current_organisation
from webapp.lib.pagination import BadCursorError
from webapp.pages import render_page
from webapp.records.context import context_of
from webapp.records.entities import Entity
from webapp.records.filters import FilterError, RecordFilter, read_filter
from webapp.records.queries import count_records, list_records
from webapp.records.search import WALK_ROWS, RecordCount, order_of

if TYPE_CHECKING:
    from webapp.records.views import Pages

DEFAULT_SORT = "created"
WORDS = {"asc": "ascending", "desc": "descending"}


def index(pages: Pages) -> Response:
    """Search, filter, sort and page."""
    entity, organisation = pages.entity, current_organisation()
    sort, direction = _sorting(entity)
    cursor = request.args.get("cursor")
    try:
        wanted = read_filter(request.args.to_dict(flat=False), entity, ZoneInfo(organisation.time_zone))
        page = list_records(entity, organisation.id, wanted, sort=sort, direction=direction, cursor=cursor)
    except (BadCursorError, FilterError) as error:
        abort(400, str(error))
    count = count_records(entity, organisation.id, wanted, walk_rows=WALK_ROWS)
    return render_page(
        "records/index.html",
        block="records",
        entity=entity,
        page=page,
        context=context_of(organisation.id),
        wanted=wanted,
        is_empty=not page.records and wanted.is_empty and not cursor,
        count_text=count_text(entity, count, wanted),
        sort=request.args.get("sort", ""),
        direction=request.args.get("direction", ""),
        sorts=_sorts(entity, sort, direction),
        first_url=_url(cursor=None) if cursor else None,
        next_url=_url(cursor=page.next_cursor) if page.next_cursor else None,
        upload_limit_bytes=current_app.extensions["settings"].upload_limit_bytes,
    )


def count_text(entity: Entity, count: RecordCount, wanted: RecordFilter) -> str:
    """How many there are, in words: "1 contact", "1,234 contacts found", "Over 100,000 contacts"."""
    over = "" if count.is_exact else "Over "
    return f"{over}{count.number:,} {entity.noun(count.number)}{'' if wanted.is_empty else ' found'}"


def _sorting(entity: Entity) -> tuple[str, str]:
    """(sort, direction) of the address; what is unknown there counts as not given."""
    sort = request.args.get("sort", DEFAULT_SORT)
    sort = sort if sort in entity.sorts else DEFAULT_SORT
    direction = request.args.get("direction", "")
    return sort, direction if direction in WORDS else _natural(entity, sort)


def _natural(entity: Entity, sort: str) -> str:
    return "desc" if order_of(entity, sort).descends else "asc"


def _sorts(entity: Entity, sort: str, direction: str) -> dict[str, dict[str, Any]]:
    """For every order: where its heading's link leads, and how the list is sorted by it now."""
    opposite = "asc" if direction == "desc" else "desc"
    return {
        name: {
            "url": _url(sort=name, direction=opposite if name == sort else _natural(entity, name), cursor=None),
            "direction": WORDS[direction] if name == sort else None,
        }
        for name in entity.sorts
    }


def _url(**changes: str | None) -> str:
    """The list's address with some arguments changed."""
    arguments: dict[str, Any] = {**request.args.to_dict(flat=False), **changes}
    return url_for(str(request.endpoint), **{name: value for name, value in arguments.items() if value})
