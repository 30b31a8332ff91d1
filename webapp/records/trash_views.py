"""What was deleted in the last thirty days, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, abort, request, url_for

from webapp.accounts.current import current_organisation, is_owner
from webapp.accounts.queries import list_members
from webapp.lib.pagination import BadCursorError
from webapp.pages import render_page
from webapp.records.trash import KEPT_FOR
from webapp.records.trash_queries import WALK_ROWS, list_deleted

if TYPE_CHECKING:
    from webapp.records.views import Pages


def trash(pages: Pages) -> Response:
    """The deleted records, the latest first."""
    entity, organisation = pages.entity, current_organisation()
    q, cursor = request.args.get("q", "").strip()[:200], request.args.get("cursor")
    try:
        page = list_deleted(entity, organisation.id, q=q, cursor=cursor)
    except BadCursorError as error:
        abort(400, str(error))
    endpoint = f"{entity.name}.trash"
    return render_page(
        "records/trash.html",
        block="trash",
        entity=entity,
        page=page,
        walk_rows=WALK_ROWS,
        q=q,
        people={member.user_id: member.name for member in list_members(organisation.id)},
        kept_for=KEPT_FOR,
        may_delete_all=is_owner(),
        first_url=url_for(endpoint, q=q or None) if cursor else None,
        next_url=url_for(endpoint, q=q or None, cursor=page.next_cursor) if page.next_cursor else None,
    )
