"""Beacons, one JSON object a line, in the order in which they were seen."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TextIO

from webapp.generate.blocks import BLOCK_ROWS, number_blocks, seeded

DEFAULT_SPAN = timedelta(hours=24)
EARLIEST_END = datetime(1970, 1, 3, tzinfo=UTC)
"""The time in an id counts from 1970."""
DEFAULT_WEBSITE = "https://shop.example"

# How busy a shop's website is in each hour of the day (UTC).
HOUR_WEIGHTS = (3, 2, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 12, 12, 11, 10, 10, 11, 12, 13, 14, 12, 8, 5)
SLOT_MS = 900_000
MAIN_PATHS = ("/", "/pricing", "/support", "/shop", "/about")
SECTIONS = ("coffee", "tea", "equipment", "gifts", "guides")
PAGES_PER_SECTION = 9
REFERRERS = (
    ("", 40), ("https://www.google.com/", 25), ("https://www.bing.com/", 4), ("https://duckduckgo.com/", 3),
    ("https://www.instagram.com/", 6), ("https://news.ycombinator.com/", 2), ("https://newsletter.example/june", 5),
    ("https://blog.example/best-coffee-shops", 3), ("{website}/", 8), ("{website}/shop", 4),
)  # fmt: skip
SCREENS = ("1920x1080", "390x844", "1536x864", "412x915", "1440x900", "360x800", "2560x1440", "768x1024")
VISITS_PER_VISITOR = 5
PIECES = 4096
MASK_32, MASK_48 = (1 << 32) - 1, (1 << 48) - 1
# Odd multipliers are one-to-one modulo a power of two: different indices give different ids.
SPREAD_32, SPREAD_48 = 0x9E3779B1, 0x5DEECE66D1B5


def write(
    file: TextIO,
    count: int,
    seed: int = 1,
    *,
    end: datetime,
    site_key: str = "SITE_KEY",
    start: datetime | None = None,
    website: str = DEFAULT_WEBSITE,
) -> None:
    """Write `count` beacons seen from `start` (24 hours before `end`, unless given) until `end`.

    The same arguments always give the same bytes. A collector takes beacons whose `end` is about now,
    and a day later still: their ids carry the moments of their visits. `sentAt` is left out on purpose: a
    collector corrects a visitor's clock by it, and would move every visit to the moment of arrival.
    """
    start = start or end - DEFAULT_SPAN
    if start >= end:
        raise ValueError(f"start must be before end, but {start} is not before {end}.")
    pools = _Pools(seeded("beacons", seed), site_key, website)
    times = _times(_milliseconds(start), _milliseconds(end), count, seeded("times", seed))
    visitor_count = max(1, count // VISITS_PER_VISITOR)
    for first, numbers in number_blocks(count, seed):
        file.write("".join(_lines(first, numbers, times, visitor_count, pools)))


class _Pools:
    """Pieces of a line, formatted once: a line then is a few look-ups and one f-string."""

    def __init__(self, choices: random.Random, site_key: str, website: str) -> None:
        self.pages = _pages(choices, site_key, website)
        self.referrers = _referrers(choices, website)
        self.ids = [f"7{choices.getrandbits(12):03x}-{choices.choice('89ab')}{_hex(choices, 3)}" for _ in range(PIECES)]
        # A visitor's number makes the last eight digits of their identifier, and so it is theirs alone.
        self.visitors = [_identifier_start(choices) for _ in range(PIECES)]
        self.id_salt = choices.getrandbits(48)
        self.visitor_salt = choices.getrandbits(32)
        self.seconds: dict[int, str] = {}


def _lines(
    first: int, numbers: tuple[int, ...], times: Iterator[int], visitor_count: int, pools: _Pools
) -> Iterator[str]:
    """A block of beacons from random numbers' bits; the index in a beacon's id is what makes it unique."""
    ids, visitors, pages, referrers, seconds = pools.ids, pools.visitors, pools.pages, pools.referrers, pools.seconds
    id_salt, visitor_salt = pools.id_salt, pools.visitor_salt
    for index, n, seen_ms in zip(range(first, first + len(numbers)), numbers, times, strict=False):
        # The square makes low numbers more likely: some visitors return often, most were seen once or twice.
        visitor = ((n & 0xFFFFFFFF) ** 2 >> 32) * visitor_count >> 32
        second = seen_ms // 1000
        yield (
            f'{{"id":"{seen_ms >> 16:08x}-{seen_ms & 0xFFFF:04x}-{ids[n >> 52]}'
            f'-{index * SPREAD_48 + id_salt & MASK_48:012x}","identifier":{visitors[visitor & 0xFFF]}'
            f'{visitor * SPREAD_32 + visitor_salt & MASK_32:08x}",{pages[n >> 32 & 0xFFF]},'
            f'"visitedAt":"{seconds.get(second) or _remember(seconds, second)}.{seen_ms % 1000:03d}Z",'
            f'"referrer":{referrers[n >> 44 & 0xFF]},"screen":"{SCREENS[visitor & 7]}"}}\n'
        )


def _remember(seconds: dict[int, str], second: int) -> str:
    """Format a second once: beacons come in the order of time, so a few are enough to remember."""
    if len(seconds) > BLOCK_ROWS:
        seconds.clear()
    seconds[second] = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return seconds[second]


def _times(start_ms: int, end_ms: int, count: int, choices: random.Random) -> Iterator[int]:
    """`count` ascending times, as many in each quarter of an hour as its hour is busy."""
    slots = range(start_ms, end_ms, SLOT_MS)
    weights = [_weight(opens_ms, end_ms) for opens_ms in slots]
    total, weight_before, rows_before = sum(weights), 0, 0
    for opens_ms, weight in zip(slots, weights, strict=True):
        weight_before += weight
        rows = count * weight_before // total - rows_before
        rows_before += rows
        width = min(SLOT_MS, end_ms - opens_ms)
        # Each has a part of the slot to itself and stands somewhere in it, so they ascend.
        for row in range(rows):
            yield opens_ms + int((row + choices.random()) * width) // rows


def _weight(opens_ms: int, end_ms: int) -> int:
    return HOUR_WEIGHTS[opens_ms // 3_600_000 % 24] * min(SLOT_MS, end_ms - opens_ms)


def _identifier_start(choices: random.Random) -> str:
    groups = [_hex(choices, 8), _hex(choices, 4), "4" + _hex(choices, 3), choices.choice("89ab") + _hex(choices, 3)]
    return '"' + "-".join([*groups, _hex(choices, 4)])


def _hex(choices: random.Random, digits: int) -> str:
    return f"{choices.getrandbits(4 * digits):0{digits}x}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _pages(choices: random.Random, site_key: str, website: str) -> list[str]:
    """Site key and page as JSON, many times over: the page of rank r stands 1/r as often as the first."""
    products = [f"/{section}/{number}" for section in SECTIONS for number in range(1, PAGES_PER_SECTION + 1)]
    choices.shuffle(products)
    paths = [*MAIN_PATHS, *products]
    weights = [1 / rank for rank in range(1, len(paths) + 1)]
    start = f'"siteKey":{json.dumps(site_key)},"pageUrl":'
    return [start + json.dumps(website + path) for path in choices.choices(paths, weights, k=PIECES)]


def _referrers(choices: random.Random, website: str) -> list[str]:
    """Referrers as JSON, each as often as its weight asks."""
    urls = [url.format(website=website) for url, _ in REFERRERS]
    return [json.dumps(url) for url in choices.choices(urls, [weight for _, weight in REFERRERS], k=256)]
