"""Visits to a made-up website: where people come from, what they use, what they do there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 5, 9, 12, 13, 13, 12, 13, 12, 12, 11, 11, 12, 13, 15, 16, 13, 8, 4)
PATHS = {"/": 38, "/pricing": 22, "/support": 10, "/breakwater": 14, "/low-tide": 10, "/night-ferry": 6}
PRODUCTS = {
    "/breakwater": "HC-BREAKWATER-250",
    "/low-tide": "HC-LOWTIDE-250",
    "/night-ferry": "HC-NIGHTFERRY-250",
}
REFERRERS = {
    "": 40,
    "https://www.google.com/": 27,
    "https://duckduckgo.com/": 5,
    "https://www.instagram.com/": 9,
    "https://www.bing.com/": 4,
    "https://roasters-guild.example/members": 6,
    "https://newsletter.example/autumn": 6,
    "https://news.ycombinator.com/": 3,
}
CAMPAIGNS: dict[tuple[str, str, str], int] = {
    ("", "", ""): 86,
    ("letter", "email", "autumn-roast"): 6,
    ("google", "cpc", "espresso"): 5,
    ("instagram", "paid_social", "barista-days"): 3,
}
# Language and country, by how many visitors have them.
HOMES = {
    ("en-gb", "GB"): 46,
    ("en-us", "US"): 14,
    ("de-de", "DE"): 11,
    ("fr-fr", "FR"): 8,
    ("nl-nl", "NL"): 6,
    ("en-ie", "IE"): 6,
    ("es-es", "ES"): 5,
    ("it-it", "IT"): 4,
}
# Device, browser, system and screen.
OUTFITS = {
    ("mobile", "Safari", "iOS", "390x844"): 31,
    ("mobile", "Chrome", "Android", "412x915"): 22,
    ("desktop", "Chrome", "Windows", "1920x1080"): 18,
    ("desktop", "Safari", "macOS", "1440x900"): 11,
    ("desktop", "Firefox", "Windows", "1536x864"): 7,
    ("desktop", "Edge", "Windows", "1920x1080"): 5,
    ("tablet", "Safari", "iPadOS", "820x1180"): 4,
    ("desktop", "Firefox", "Linux", "1920x1080"): 2,
}
EVENTS = {
    "/": ("newsletter", ""),
    "/pricing": ("plan chosen", '{"plan":"%s"}'),
    "/support": ("question", ""),
    **dict.fromkeys(PRODUCTS, ("add to basket", "")),
}
PLANS = ("small", "medium", "large")
EVENT_SHARE = 0.12
VISITORS = 9_000
_PAGEVIEW, _EVENT, _ENGAGEMENT, _PRODUCT = range(4)


def visit_of(choices: random.Random, day: datetime, website: str) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """One visitor's way through the website: the time, and what a row tells beside it."""
    at = day + timedelta(hours=choices.choices(range(24), HOUR_WEIGHTS)[0], seconds=choices.uniform(0, 3600))
    number = int(VISITORS * choices.random() ** 1.6)
    told = {"visitor": visitor_name(number), **_visitor(number), **_source(choices)}
    for _ in range(choices.choices((1, 2, 3, 4, 6), (45, 25, 15, 10, 5))[0]):
        path = _choose(choices, PATHS)
        page, stay = {**told, "page_url": website + path}, choices.uniform(8, 180)
        yield at, {**page, "kind": _PAGEVIEW}
        if path in PRODUCTS:
            yield at, {**page, "kind": _PRODUCT, "name": PRODUCTS[path]}
        if choices.random() < EVENT_SHARE:
            name, props = EVENTS[path]
            props = props % choices.choice(PLANS) if "%" in props else props
            yield at + timedelta(seconds=stay / 2), {**page, "kind": _EVENT, "name": name, "props": props}
        engaged = {"engaged_ms": int(stay * choices.uniform(300, 900)), "scroll": choices.randrange(20, 101)}
        at += timedelta(seconds=stay)
        yield at, {**page, "kind": _ENGAGEMENT, **engaged}
        told |= {"referrer": website + path, "utm_source": "", "utm_medium": "", "utm_campaign": ""}


def visitor_name(number: int) -> str:
    """What the website calls a visitor; those with small numbers come more often."""
    return f"demo-{number:05d}"


def _visitor(number: int) -> dict[str, str]:
    """Where a visitor lives and what they use, the same at every visit."""
    own = random.Random(number)  # noqa: S311  (demo data)
    language, country = _choose(own, HOMES)
    device, browser, system, screen = _choose(own, OUTFITS)
    return {
        "language": language,
        "country": country,
        "device": device,
        "browser": browser,
        "system": system,
        "screen": screen,
    }


def _source(choices: random.Random) -> dict[str, str]:
    source, medium, campaign = _choose(choices, CAMPAIGNS)
    referrer = "" if source else _choose(choices, REFERRERS)
    return {"referrer": referrer, "utm_source": source, "utm_medium": medium, "utm_campaign": campaign}


def _choose(choices: random.Random, weighted: dict[Any, int]) -> Any:
    return choices.choices(list(weighted), list(weighted.values()))[0]
