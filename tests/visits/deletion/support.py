"""What tests of deleted sites share."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from apiflask import APIFlask

from tests.conftest import owner_connection
from tests.jobs.support import run_waiting
from tests.visits.support import ORIGIN, add_rows, count_all, make_row, rows_of
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.backlog import Kind, Row
from webapp.visits.deletion import tasks
from webapp.visits.deletion.erasing import list_tables
from webapp.visits.deletion.service import KEPT_FOR
from webapp.visits.models import Site
from webapp.visits.questions import Operator
from webapp.visits.site_page.models import ChartNote, Goal, Segment, SharedLink

KINDS = (Kind.PAGEVIEW, Kind.EVENT, Kind.ENGAGEMENT, Kind.PRODUCT, Kind.IDENTIFY, Kind.IDENTIFY, Kind.DROPPED)
NAMES = {Kind.EVENT: "signup", Kind.PRODUCT: "SKU-1", Kind.DROPPED: "bot"}


def rows_for(site: Site, page: str = "/own") -> list[Row]:
    """One of each kind, and a second person on one browser."""
    people = iter(["alice@example.com", "bob@example.com"])
    rows = []
    for kind in KINDS:
        name = next(people) if kind is Kind.IDENTIFY else NAMES.get(kind, "")
        rows.append(make_row(site, kind=int(kind), name=name, page_url=f"{ORIGIN}{page}", engaged_ms=1))
    return rows


def fill(app: APIFlask, settings: Settings, site: Site, page: str = "/own") -> None:
    """Something in every table that knows sites."""
    add_rows(settings, rows_for(site, page))
    count_all(app, settings)
    own = {"organisation_id": site.organisation_id, "site_id": site.id}
    with app.app_context(), tenant(site.organisation_id):
        db.session.add(Goal(**own, name="Buy", field="event", operator=Operator.IS, value="buy"))
        db.session.add(Segment(**own, name="Phones", filters=[]))
        db.session.add(ChartNote(**own, day=utc_now().date(), text="Sale"))
        db.session.add(SharedLink(**own, name="Board", secret=f"secret of {site.id}", filters=[]))
        db.session.commit()


def delete_long_ago(settings: Settings, site: Site) -> None:
    ago = utc_now() - KEPT_FOR - timedelta(minutes=1)
    with owner_connection(settings) as connection:
        connection.execute("UPDATE sites SET deleted_at = %s WHERE id = %s", [ago, site.id])


def erase_all(app: APIFlask) -> None:
    """What the scheduler has done every hour, and the jobs that come of it."""
    with app.app_context():
        tasks.erase_deleted_sites.fn()
        run_waiting()


def held(settings: Settings, site_id: UUID) -> dict[str, int]:
    """How many rows of a site each table has."""
    found = {
        table: rows_of(settings, f"SELECT count(*) FROM {table} WHERE site_id = %s", site_id)[0][0]
        for table in list_tables()
    }
    found["sites"] = rows_of(settings, "SELECT count(*) FROM sites WHERE id = %s", site_id)[0][0]
    return found
