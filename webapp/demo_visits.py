"""The demo website's visits: nine busy weeks, a thin year before them, and what can go wrong with who is named."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from webapp.generate.visits import visit_of, visitor_name
from webapp.lib.ids import uuid7
from webapp.visits.backlog import Kind, Row
from webapp.visits.models import Site

DAYS = 63
DAYS_BEFORE = 362
"""Thin: enough that a comparison with the year before says something."""
VISITORS_A_DAY, VISITORS_A_DAY_BEFORE = 150, 24
SIGN_IN_SHARE = 0.3
DAY_WEIGHTS = (1.0, 1.05, 1.02, 0.98, 1.1, 0.8, 0.7)  # Monday to Sunday
TILL = "demo-till"
Told = tuple[datetime, dict[str, Any]]


@dataclass(frozen=True)
class People:
    """Who has an account at the shop, by the names of their browsers."""

    customers: Mapping[str, str]
    """They sign in now and then."""
    newcomers: Mapping[str, str]
    """They always sign in; no contact has their address yet."""
    at_the_till: tuple[str, ...]
    """They sign in on the shop's own till, one after the other, though the first one keeps it."""


def make_people(customers: Iterable[str], newcomers: Iterable[str]) -> People:
    """The newcomers have the smallest numbers, which come most often."""
    customers, newcomers = list(customers), list(newcomers)
    known = {visitor_name(len(newcomers) + number): email for number, email in enumerate(customers)}
    new = {visitor_name(number): email for number, email in enumerate(newcomers)}
    return People(known, new, tuple(customers[:3]))


def shop_rows(site: Site, website: str, people: People, now: datetime) -> Iterator[Row]:
    """The stream of the shop's own website."""
    choices = random.Random(42)  # noqa: S311  (demo data)
    visits = _visits(choices, website, people, now, [_of_shop(days) for days in range(DAYS + DAYS_BEFORE + 1)])
    yield from _rows(site, visits, now)
    yield from _rows(site, _till(website, people, now), now)


def second_rows(site: Site, website: str, now: datetime) -> Iterator[Row]:
    """The stream of a small site that began a month ago."""
    choices = random.Random(43)  # noqa: S311  (demo data)
    yield from _rows(site, _visits(choices, website, People({}, {}, ()), now, [12.0] * 30), now)


def _of_shop(days_ago: int) -> float:
    """Visitors on a day so long ago: more and more of them."""
    if days_ago > DAYS:
        return VISITORS_A_DAY_BEFORE * (1 + (DAYS + DAYS_BEFORE - days_ago) / DAYS_BEFORE)
    return VISITORS_A_DAY * (0.7 + 0.5 * (DAYS - days_ago) / DAYS)


def _visits(
    choices: random.Random, website: str, people: People, now: datetime, counts: Sequence[float]
) -> Iterator[Told]:
    """Visits of every day, by how many came so many days ago; the earliest day first."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for days_ago in range(len(counts) - 1, -1, -1):
        day = midnight - timedelta(days=days_ago)
        for _ in range(round(counts[days_ago] * DAY_WEIGHTS[day.weekday()] * choices.uniform(0.85, 1.15))):
            yield from _signing_in(visit_of(choices, day, website), choices, people)


def _signing_in(visit: Iterable[Told], choices: random.Random, people: People) -> Iterator[Told]:
    """The same visit, at whose first page some of those who have an account sign in."""
    for index, (visited_at, told) in enumerate(visit):
        yield visited_at, told
        name = people.newcomers.get(told["visitor"])
        if not name and choices.random() < SIGN_IN_SHARE:
            name = people.customers.get(told["visitor"])
        if not index and name:
            yield visited_at, {**told, "kind": Kind.IDENTIFY, "name": name}


def _till(website: str, people: People, now: datetime) -> Iterator[Told]:
    """Several people are named on one browser, which stays the first one's: the other links are refused."""
    for number, name in enumerate(people.at_the_till):
        at = now - timedelta(days=6 - number, minutes=30)
        told = {"visitor": TILL, "page_url": f"{website}/pricing", "referrer": "", "screen": "1280x800"}
        yield at, {**told, "kind": Kind.PAGEVIEW}
        yield at + timedelta(seconds=5), {**told, "kind": Kind.IDENTIFY, "name": name}


def _rows(site: Site, visits: Iterable[Told], now: datetime) -> Iterator[Row]:
    """As the stream has them; what lies in the future did not happen yet."""
    for visited_at, told in visits:
        if visited_at < now:
            at = int(visited_at.timestamp() * 1000)
            yield Row(site.organisation_id.bytes, site.id.bytes, uuid7(visited_at).bytes, at, at, **told)
