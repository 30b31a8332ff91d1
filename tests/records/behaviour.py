"""Contacts who did things on websites, and the plain way to say who did one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
from apiflask import APIFlask

from tests.visits.raw.made_rows import Made, Row, make_rows, passes, write_chunk, write_rows
from tests.visits.support import ORIGIN, add_site
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.records.behaviour_sets import Moment, settle
from webapp.records.filters import RecordFilter, read_filter
from webapp.records.queries import list_records
from webapp.records.service import create_record
from webapp.visits.backlog import Kind
from webapp.visits.behaviour.conditions import Behaviour, What, read_behaviour
from webapp.visits.behaviour.spans import deed_of
from webapp.visits.models import RawKind, Site
from webapp.visits.people.models import Identity
from webapp.visits.questions import Filter, Operator
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, ATTRIBUTES

MADE_AT = datetime(2026, 4, 4, 15, tzinfo=UTC)
"""A moment at which the made rows have just happened."""
FAR = 1_000
Texts = Sequence[str]


@dataclass
class World:
    """Two sites with rows, who their visitors said they are, and the contacts."""

    organisation_id: UUID
    sites: list[Site]
    made: dict[UUID, Made]
    identities: dict[tuple[UUID, int], str]
    emails: set[str] = field(default_factory=set)

    def doers(self, behaviour: Behaviour, zone: ZoneInfo, moment: datetime, *, is_frozen: bool = False) -> set[str]:
        """The contacts on the behaviour's side, found by looking at every row."""
        deed = deed_of(behaviour, zone, moment, is_frozen=is_frozen)
        counts = Counter[str]()
        for site in self.sites:
            if behaviour.site_id in {None, site.id}:
                for row in self.made[site.id].activity:
                    at = datetime.fromtimestamp(row["visited_ms"] / 1000, UTC)
                    identity = self.identities.get((site.id, row["visitor"]))
                    if identity and deed.start <= at < deed.end and is_deed(row, behaviour, site):
                        counts[identity] += 1
        did = {email for email, count in counts.items() if count >= behaviour.least} & self.emails
        return did if behaviour.is_done else self.emails - did


def is_deed(row: Row, behaviour: Behaviour, site: Site) -> bool:
    """Whether a row is what the behaviour names."""
    if behaviour.operator is None:
        return bool(row["kind"] != Kind.ENGAGEMENT)
    if behaviour.what is What.PRODUCT:
        return bool(row["kind"] == Kind.PRODUCT and row["name"].lower() == behaviour.value.lower())
    value = behaviour.value
    if behaviour.what is What.PAGE:
        if row["kind"] != Kind.PAGEVIEW:
            return False
        is_path = value.startswith("/") and behaviour.operator is not Operator.CONTAINS
        value = f"{site.origins[0]}{value}" if is_path else value
    return passes(row, Filter(behaviour.what.value, behaviour.operator, (value,)))


def make_world(app: APIFlask, organisation_id: UUID, seed: int = 0) -> World:
    """People of several browsers and sites, strangers, contacts that nobody knows, and identities without a contact."""
    random = Random(seed)
    sites = [add_site(app, organisation_id, ORIGIN), add_site(app, organisation_id, ORIGIN)]
    made = {site.id: make_rows(random, 150) for site in sites}
    named: dict[tuple[UUID, int], str] = {}
    for apart, site in enumerate(sites):
        for row in (*made[site.id].activity, *made[site.id].visits):
            row["visitor"] += apart * FAR  # numbers are made of the site's id, too
        write_rows(organisation_id, site.id, made[site.id], random)
        some = range(apart * FAR - 14, apart * FAR + 14)
        named |= {(site.id, visitor): f"p{random.randrange(16)}@example.com" for visitor in some}
    world = World(organisation_id, sites, made, named, {f"p{n}@example.com" for n in range(4, 20)})
    add_identities(organisation_id, named)
    with tenant(organisation_id):
        for email in sorted(world.emails):
            create_record(CONTACTS, organisation_id, {"email": email.title()})
        db.session.commit()
    return world


def add_identities(organisation_id: UUID, named: Mapping[tuple[UUID, int], str]) -> None:
    """Let visitors have said who they are."""
    with tenant(organisation_id):
        for (site_id, visitor), identity in named.items():
            db.session.add(
                Identity(
                    organisation_id=organisation_id,
                    site_id=site_id,
                    visitor=visitor,
                    identity=identity,
                    first_at=MADE_AT,
                )
            )
        db.session.commit()


def add_deeds(organisation_id: UUID, site_id: UUID, deeds: Iterable[tuple[int, datetime, str]]) -> None:
    """Pageviews: (visitor, moment, page)."""
    usual = {**dict.fromkeys(ATTRIBUTES, ""), "name": "", "props": "", "engaged_ms": 0, "scroll": 0}
    rows = [
        {
            **usual,
            "visited_ms": round(at.timestamp() * 1000),
            "kind": Kind.PAGEVIEW.value,
            "visitor": visitor,
            "visit": 1,
            "is_entry": True,
            "page": page,
        }
        for visitor, at, page in deeds
    ]
    write_chunk(organisation_id, site_id, RawKind.ACTIVITY, pl.DataFrame(rows, schema=ACTIVITY_SCHEMA))


def find(
    organisation_id: UUID,
    *texts: str,
    zone: ZoneInfo,
    moment: datetime,
    is_frozen: bool = False,
    **arguments: list[str],
) -> list[str]:
    """The contacts that match, in the list's order, of all pages."""
    wanted = settled(organisation_id, *texts, zone=zone, moment=moment, is_frozen=is_frozen, **arguments)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = list_records(CONTACTS, organisation_id, wanted, cursor=cursor or None, limit=5)
        found += [record.email_key for record in page.records]
        cursor = page.next_cursor
    return found


def settled(
    organisation_id: UUID,
    *texts: str,
    zone: ZoneInfo,
    moment: datetime,
    is_frozen: bool = False,
    **arguments: list[str],
) -> RecordFilter:
    """The filter of these behaviours, with its sets."""
    wanted = read_filter({"did": list(texts), **arguments}, CONTACTS, zone)
    return settle(CONTACTS, organisation_id, wanted, Moment(moment, zone, is_frozen=is_frozen))


def random_behaviour(random: Random, sites: list[Site]) -> Behaviour:
    """Any that the made rows know."""
    what = random.choice(
        [
            "page:is:/pricing", "page:begins:/pricing", "page:contains:/pric", "page:begins:https://shop.example/",
            "event:is:signup", "event:begins:sign", "event:contains:/now", "product:is:sku-1", "anything",
            "property:is:signup\x1fplan\x1ffree", "property:begins:buy\x1fa/b\x1f5",
            "property:contains:buy\x1fc~d\x1f0",
        ]
    )  # fmt: skip
    side = random.choice(["", "", "not:"])
    days = random.choice(["1d", "3d", "8d", "14d", "ever", "2026-03-28..2026-03-29", "2026-03-30..2026-04-30"])
    times = random.choice(["", "", "2x:", "5x:"])
    site = random.choice(["", f"site={sites[0].id}:"])
    return read_behaviour(f"{side}{days}:{times}{site}{what}")
