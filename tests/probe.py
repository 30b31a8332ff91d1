"""An app with a few routes more, which tell what a request may see and go wrong on demand."""

from __future__ import annotations

from apiflask import APIBlueprint, APIFlask, Schema
from apiflask.fields import Integer, String
from flask import Response, abort
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.accounts.models import Organisation
from webapp.app import create_app
from webapp.config import Settings
from webapp.extensions import csrf, current_tenant, db, enter_tenant
from webapp.lib.ids import uuid7
from webapp.problems import Problem


class Thing(Schema):
    name = String(required=True)
    size = Integer(required=True)


def probe_app(settings: Settings, *, csrf_enabled: bool = False) -> APIFlask:
    app = create_app(settings)
    app.config.update(TESTING=True, PROPAGATE_EXCEPTIONS=False, WTF_CSRF_ENABLED=csrf_enabled)
    bp = APIBlueprint("api_probe", __name__, url_prefix="/api/v1/probe")

    @bp.get("/open")
    def seen_by_nobody() -> ResponseReturnValue:
        return what_is_seen()

    @bp.get("/keyed")
    @bp.auth_required(api_auth)
    def seen_by_key() -> ResponseReturnValue:
        return what_is_seen()

    @bp.post("/things")
    @bp.input(Thing)
    def create_thing(json_data: dict[str, object]) -> ResponseReturnValue:
        return json_data

    @bp.post("/connections")
    @bp.auth_required(api_auth)
    def connections_for_key() -> ResponseReturnValue:
        return connections_in_use()

    @bp.get("/<string:failure>")
    def fail(failure: str) -> ResponseReturnValue:
        return fail_as(failure)

    csrf.exempt(bp)
    app.register_blueprint(bp)
    app.add_url_rule("/probe", view_func=what_is_seen)
    app.add_url_rule("/probe/connections", view_func=connections_in_use, methods=["GET", "POST"])
    app.add_url_rule("/probe/<string:failure>", view_func=fail_as, methods=["GET", "POST"])
    return app


def what_is_seen() -> ResponseReturnValue:
    """The tenant, and how many memberships PostgreSQL shows."""
    tenant = current_tenant()
    count = db.session.scalar(text("SELECT count(*) FROM memberships"))
    return {"tenant": str(tenant) if tenant else None, "count": count}


def connections_in_use() -> ResponseReturnValue:
    """How many connections are taken before and after the view has asked for a row, and whose rows it sees."""
    pool = db.engine.pool
    assert isinstance(pool, QueuePool)
    before = pool.checkedout()
    name = current_organisation().name
    after = pool.checkedout()
    return {"before": before, "after": after, "name": name, **what_is_seen()}  # type: ignore[dict-item]


def fail_as(failure: str) -> Response:
    if failure == "leak":
        enter_tenant(uuid7())
    if failure == "broken":
        db.session.execute(text("SELECT 1 / 0"))
    if failure == "flush":
        db.session.add(Organisation(slug="system", name="Twice"))
        db.session.flush()
    if failure == "recursion":
        return fail_as(failure)
    if failure == "problem":
        raise Problem(409, "Thing exists", "There is one already.", thing_id="7")
    if failure.isdecimal():
        abort(int(failure))
    raise RuntimeError(failure)
