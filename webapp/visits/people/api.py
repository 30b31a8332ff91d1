"""Refused merges over the API."""

from __future__ import annotations

from typing import Any

from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.keys import fold_key
from webapp.lib.pagination import BadCursorError
from webapp.problems import Problem
from webapp.visits.api import api_visits, read_sites
from webapp.visits.people.refused import list_refused, list_refused_of
from webapp.visits.people.schemas import RefusedList, RefusedQuery, refused_as_json


@api_visits.get("/refused-merges")
@api_visits.auth_required(api_auth)
@api_visits.input(RefusedQuery, location="query", arg_name="query")
@api_visits.output(RefusedList)
@api_visits.doc(summary="Links that were refused", responses={422: "What is wrong"})
def list_refused_merges(query: dict[str, Any]) -> ResponseReturnValue:
    """Who was named on a browser that was linked with somebody else before, the latest first.

    The first link counts. What was done from `at` on is nobody's, since two people use the same identifier.
    """
    organisation_id, cursor, limit = current_organisation().id, query.get("cursor"), query["limit"]
    [site] = read_sites(organisation_id, query["site_id"]) if query.get("site_id") else [None]
    identity = query.get("identity")
    if site and identity:
        raise Problem(422, "Too much at once", "Ask for a site, or for a person.")
    try:
        if identity:
            page = list_refused_of(organisation_id, [fold_key(identity.strip())], cursor=cursor, limit=limit)
        else:
            page = list_refused(organisation_id, site.id if site else None, cursor=cursor, limit=limit)
    except BadCursorError as error:
        raise Problem(422, "Not a cursor", str(error)) from error
    return {"data": [refused_as_json(merge) for merge in page.merges], "next_cursor": page.next_cursor}
