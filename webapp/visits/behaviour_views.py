"""Values to choose from where a list asks what people did on the websites."""

from __future__ import annotations

from flask import Response, abort, jsonify, request

from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.visits.behaviour.conditions import What
from webapp.visits.behaviour.suggestions import list_suggestions
from webapp.visits.views import visits


@visits.get("/behaviour-values")
def suggest_behaviours() -> Response:
    """Pages, events or SKUs of late, the most frequent first."""
    what = next((one for one in What if one.value == request.args.get("what", "")), None)
    if what is None:
        abort(404)
    return jsonify(list_suggestions(current_organisation().id, what, utc_now()))
