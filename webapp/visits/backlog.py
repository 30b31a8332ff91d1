"""The stream of accepted beacons in Redis, between the collector and the roll-up.

One entry holds a group of beacons. Adding and trimming keep count of the beacons that wait, in the
same step, so that the stream can be bounded by beacons and not by entries.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import redis
import redis.asyncio

STREAM = "beacons"
COUNT_KEY = "beacons:count"
START = "0-0"
ID_COLUMN = 2
READ_ENTRIES = 50
"""Entries read or removed in one step: a group may be some megabytes large."""
FULL_FRACTION = 0.999
READ_LIMIT_BYTES = 64 * 1024 * 1024

ADD = """
local waiting = tonumber(redis.call('GET', KEYS[2]) or '0')
local added = tonumber(ARGV[1])
if waiting + added > tonumber(ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'n', added, 'rows', ARGV[3])
redis.call('INCRBY', KEYS[2], added)
return 1
"""

TRIM = """
local removed = 0
local entries = redis.call('XRANGE', KEYS[1], '-', ARGV[1], 'COUNT', ARGV[2])
for _, entry in ipairs(entries) do
    removed = removed + (tonumber(entry[2][2]) or 0)
    redis.call('XDEL', KEYS[1], entry[1])
end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('SET', KEYS[2], 0)
else redis.call('DECRBY', KEYS[2], removed) end
return #entries
"""


class BacklogFullError(Exception):
    """More beacons wait to be counted than may."""


class Kind(enum.IntEnum):
    """What a row in the stream reports."""

    PAGEVIEW = 0
    EVENT = 1
    ENGAGEMENT = 2
    PRODUCT = 3
    IDENTIFY = 4
    DROPPED = 5


class Row(msgspec.Struct, array_like=True, gc=False):
    """An accepted beacon in the stream. Ids are their 16 bytes, times milliseconds since 1970.

    `name` is an event's name, a SKU, an identity, or why beacons were dropped; `engaged_ms` of dropped ones is
    how many they are. A text that is not known is ''.
    """

    organisation_id: bytes
    site_id: bytes
    id: bytes
    visited_ms: int
    received_ms: int
    visitor: str
    page_url: str
    referrer: str
    screen: str
    kind: int = Kind.PAGEVIEW
    language: str = ""
    country: str = ""
    device: str = ""
    browser: str = ""
    system: str = ""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_term: str = ""
    utm_content: str = ""
    click_id: str = ""
    name: str = ""
    props: str = ""
    engaged_ms: int = 0
    scroll: int = 0


@dataclass(frozen=True)
class Entry:
    """One group as it was added; its rows are read by whoever counts them."""

    id: str
    content: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[list[Any]])


def encode_rows(rows: list[Row]) -> bytes:
    """Rows column by column, as whoever adds up many of them wants them; a column of one value as that value alone."""
    columns = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
    return _encoder.encode([_shortened(number, column) for number, column in enumerate(columns)])


def _shortened(number: int, column: tuple[Any, ...]) -> tuple[Any, ...]:
    """One value, where all are the same; of ids all, which tell how many rows there are."""
    is_one_value = number != ID_COLUMN and column.count(column[0]) == len(column)
    return column[:1] if is_one_value else column


def decode_columns(content: bytes) -> list[list[Any]]:
    """The columns of a group, in the order of a row's fields."""
    columns = decode_short_columns(content)
    height = len(columns[ID_COLUMN])
    return [column * height if len(column) == 1 else column for column in columns]


def decode_short_columns(content: bytes) -> list[list[Any]]:
    """As `decode_columns`, with a column of one value as that value alone; the ids tell how many rows there are."""
    return _decoder.decode(content)


def decode_rows(content: bytes) -> list[Row]:
    """The rows of a group."""
    return [Row(*values) for values in zip(*decode_columns(content), strict=True)]


def add(client: redis.Redis, rows: list[Row], limit: int) -> None:
    """Add one group; raises BacklogFullError when it does not fit below the limit."""
    answer = client.eval(ADD, 2, STREAM, COUNT_KEY, len(rows), limit, encode_rows(rows))
    if not answer:
        raise BacklogFullError


class AsyncAdder:
    """`add` for the edge: the script is sent once, and then named by its hash."""

    def __init__(self, client: redis.asyncio.Redis, limit: int) -> None:
        self._script = client.register_script(ADD)
        self._limit = limit

    async def add(self, rows: list[Row]) -> None:
        answer = await self._script(keys=[STREAM, COUNT_KEY], args=[len(rows), self._limit, encode_rows(rows)])
        if not answer:
            raise BacklogFullError


def read_after(client: redis.Redis, position: str, beacon_limit: int) -> list[Entry]:
    """Whole entries after the position, until about so many beacons, or bytes, are together."""
    entries: list[Entry] = []
    beacon_count = byte_count = 0
    while True:
        found = cast("list[Any]", client.xrange(STREAM, f"({position}", "+", count=READ_ENTRIES))
        for entry_id, fields in found:
            entries.append(Entry(entry_id.decode(), fields.get(b"rows", b"")))
            beacon_count += int(fields.get(b"n", 1))
            byte_count += len(entries[-1].content)
            if beacon_count >= beacon_limit or byte_count >= READ_LIMIT_BYTES:
                return entries
        if len(found) < READ_ENTRIES:
            return entries
        position = entries[-1].id


def is_behind(client: redis.Redis, position: str) -> bool:
    """Whether the stream's ids lie before the position, which is then another stream's: Redis was replaced
    by one whose clock is behind. Reading from the start is safe, since ids that were counted are kept."""
    if not client.exists(STREAM):
        return False
    newest = client.xinfo_stream(STREAM)["last-generated-id"]
    return _parts(newest.decode() if isinstance(newest, bytes) else str(newest)) < _parts(position)


def _parts(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def trim(client: redis.Redis, position: str) -> None:
    """Remove what is counted: every entry up to the position. Doing it again does no harm."""
    if position == START:
        return
    while client.eval(TRIM, 2, STREAM, COUNT_KEY, position, READ_ENTRIES) == READ_ENTRIES:
        pass


@dataclass(frozen=True)
class Backlog:
    """Beacons that were accepted and are not counted yet, in so many groups."""

    count: int
    group_count: int
    limit: int
    oldest_at: datetime | None

    @property
    def fraction(self) -> float:
        return min(self.count / self.limit, 1.0) if self.limit else 1.0

    @property
    def is_full(self) -> bool:
        """Whether beacons are refused: what comes together may not fit even before the last place is taken."""
        return self.count >= self.limit * FULL_FRACTION


def read_backlog(client: redis.Redis, limit: int) -> Backlog:
    """Beacons that wait. The stream's ids are moments of the server's clock."""
    count = int(cast("bytes | None", client.get(COUNT_KEY)) or 0)
    oldest = cast("list[Any]", client.xrange(STREAM, count=1))
    oldest_at = datetime.fromtimestamp(_parts(oldest[0][0].decode())[0] / 1000, UTC) if oldest else None
    return Backlog(count, waiting_count(client), limit, oldest_at)


def waiting_count(client: redis.Redis) -> int:
    """How many groups wait to be counted."""
    return int(client.xlen(STREAM))
