"""Raw rows and roll-ups of a few visits that a person can count in their head."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.raw.made_rows import Made, Row, write_chunk
from tests.visits.support import ORIGIN, add_site
from webapp.lib.clock import utc_now
from webapp.visits.backlog import Kind
from webapp.visits.models import RawKind, Site
from webapp.visits.raw.frames import PLACE, SOURCE


def site_with(app: APIFlask, person: Person, *visits: Made) -> Site:
    """A site of the person's that had these visits."""
    site = add_site(app, person.organisation_id)
    store(app, site, *visits)
    return site


def yesterday(hour: int = 12) -> datetime:
    """A moment yesterday, UTC."""
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1) + timedelta(hours=hour)


def visit(visitor: int, paths: list[str], at: datetime, event: str = "", **attributes: str) -> Made:
    """One visit: its pages a minute apart, and an event on the last of them."""
    visit_id = visitor * 1_000_000 + int(at.timestamp()) % 1_000_000
    known: Row = {**dict.fromkeys((*SOURCE, *PLACE), ""), **attributes}
    shared: Row = {
        "visitor": visitor,
        "visit": visit_id,
        "name": "",
        "props": "",
        "engaged_ms": 0,
        "scroll": 0,
        **known,
    }
    start = round(at.timestamp() * 1000)
    activity: list[Row] = [
        {**shared, "visited_ms": start + index * 60_000, "kind": Kind.PAGEVIEW.value, "is_entry": index == 0}
        | {"page": f"{ORIGIN}{path}"}
        for index, path in enumerate(paths)
    ]
    if event:
        activity.append({**activity[-1], "kind": Kind.EVENT.value, "is_entry": False, "name": event})
    counts: Row = {
        "started_ms": start,
        "visitor": visitor,
        "visit": visit_id,
        "sign": 1,
        "joined": 0,
        "duration_ms": (len(paths) - 1) * 60_000,
        "pageview_count": len(paths),
        "event_count": int(bool(event)),
        "is_bounce": len(paths) == 1 and not event,
        "entry_page": f"{ORIGIN}{paths[0]}",
        "exit_page": f"{ORIGIN}{paths[-1]}",
    }
    return Made(activity, [{**counts, **known}])


def store(app: APIFlask, site: Site, *visits: Made) -> None:
    """Write these visits as raw rows."""
    for made in visits:
        with app.app_context():
            for kind in RawKind:
                write_chunk(site.organisation_id, site.id, kind, made.frame(kind))


def json_of(client: Any, url: str, **query: Any) -> list[dict[str, Any]]:
    """The rows of a table as JSON."""
    answer = client.get(url, query_string=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json["data"]
    return rows
