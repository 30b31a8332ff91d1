"""`Authorization: Bearer ff_…`: the only way into the API, for programs and for the page that tries calls."""

from __future__ import annotations

import hmac
from datetime import timedelta

from apiflask import HTTPTokenAuth
from apiflask.exceptions import HTTPError
from flask import Response

from webapp.accounts import api_keys, queries
from webapp.accounts.current import enter_organisation
from webapp.accounts.models import ApiKey
from webapp.extensions import db, enter_tenant
from webapp.lib.clock import utc_now
from webapp.problems import Problem, answer

LAST_USED_GRAIN = timedelta(minutes=1)
"""How exact `last_used_at` is: a busy key must not write a row for every call."""

api_auth = HTTPTokenAuth(
    scheme="Bearer",
    name="ApiKey",
    realm="Footfall",
    description="An organisation's API key, made on the settings page or by `footfall api-key create`.",
)


@api_auth.verify_token  # type: ignore[untyped-decorator]
def verify(secret: str) -> ApiKey | None:
    """The key behind a bearer's secret; from here on the request belongs to the key's organisation."""
    organisation_id = api_keys.organisation_in(secret)
    if organisation_id is None:
        return None
    enter_tenant(organisation_id)
    secret_hash = api_keys.hash_of(secret)
    found = queries.find_api_key(organisation_id, secret_hash)
    if found is None or not hmac.compare_digest(found[0].secret_hash, secret_hash):
        enter_tenant(None)
        return None
    api_key, organisation = found
    _note_use(api_key)
    enter_organisation(organisation)
    return api_key


@api_auth.error_processor
def refuse(error: HTTPError) -> Response:
    """A missing, wrong or revoked key: the answer does not say which."""
    detail = "Send an API key that is in use, as `Authorization: Bearer ff_…`."
    return answer(Problem(error.status_code, "API key required", detail))


def _note_use(api_key: ApiKey) -> None:
    """Committed before the view runs, so that a view that fails does not undo it."""
    now = utc_now()
    if api_key.last_used_at is None or now - api_key.last_used_at > LAST_USED_GRAIN:
        api_key.last_used_at = now
        db.session.commit()
