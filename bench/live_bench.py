"""One thousand browsers watch one import: how long from a worker's publish to the last of them?

Starts a whole Footfall on ports and data of its own, uploads generated contacts over the API, opens the
streams on that import, and posts beacons at a steady rate meanwhile. A state's SSE id is the
millisecond in which it was published, so every arrival tells its own delay. The reference is the same
number of streams on one idle channel, published to by this process: the edge without an import beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import redis

from bench.support import USER_AGENT, Footfall, beacon, print_figures, upload_contacts
from webapp.config import settings_from
from webapp.lib.ids import uuid7
from webapp.lib.redis import broker_client
from webapp.live.channels import stream_url
from webapp.live.publish import publish

IDLE_PUBLISHES = 40
IDLE_EVERY_SECONDS = 0.15
LONGEST_SECONDS = 300.0


@dataclass
class Arrivals:
    """Delays in milliseconds, by state."""

    by_state: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    open_count: int = 0
    ended_count: int = 0

    def last_browser(self, stream_count: int) -> list[float]:
        """For each state that reached every stream: the delay of the last one."""
        return sorted(max(delays) for delays in self.by_state.values() if len(delays) == stream_count)

    def all(self) -> list[float]:
        return sorted(delay for delays in self.by_state.values() for delay in delays)


class Stream(asyncio.Protocol):
    """One browser: reads ids off its stream and notes how old each state is."""

    def __init__(self, arrivals: Arrivals, host: str, path: str) -> None:
        self._arrivals, self._host, self._path = arrivals, host, path
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._arrivals.open_count += 1
        transport.write(f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.time() * 1000
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"id: "):
                said = int(line[4:])
                self._arrivals.by_state[said].append(now - said)
            elif line == b"event: done":
                self._arrivals.ended_count += 1


async def open_streams(url: str, count: int) -> tuple[Arrivals, list[asyncio.BaseTransport]]:
    parts = urlsplit(url)
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    transports = []
    for _ in range(count):
        transport, _protocol = await loop.create_connection(
            lambda: Stream(arrivals, parts.netloc, parts.path), parts.hostname, parts.port
        )
        transports.append(transport)
    return arrivals, transports


async def post_beacons(url: str, site_key: str, per_second: int, stop: asyncio.Event) -> list[float]:
    """Post one beacon after another on a few connections at a fixed rate; returns delays in milliseconds."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    delays = []
    due = time.perf_counter()
    while not stop.is_set():
        due += 1 / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        body = beacon(site_key)
        head = f"POST /collect HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: text/plain\r\n"
        head += f"User-Agent: {USER_AGENT}\r\n"
        began = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = await reader.readline()
        assert b" 202 " in status, status
        length = 0
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        await reader.readexactly(length)
        delays.append((time.perf_counter() - began) * 1000)
    writer.close()
    return sorted(delays)


async def watch_idle(broker: redis.Redis, url: str, channel: str, html: str, count: int) -> Arrivals:
    arrivals, transports = await open_streams(url, count)
    await asyncio.sleep(1.0)
    for number in range(IDLE_PUBLISHES):
        publish(broker, channel, {"number": number}, html)
        await asyncio.sleep(IDLE_EVERY_SECONDS)
    await asyncio.sleep(1.0)
    for transport in transports:
        transport.close()
    return arrivals


async def watch_import(url: str, count: int, footfall: Footfall, rate: int) -> tuple[Arrivals, list[float]]:
    arrivals, transports = await open_streams(url, count)
    stop = asyncio.Event()
    posting = asyncio.create_task(post_beacons(footfall.edge_url, footfall.site_key, rate, stop))
    async with asyncio.timeout(LONGEST_SECONDS):
        while arrivals.ended_count < count:
            await asyncio.sleep(0.2)
    stop.set()
    delays = await posting
    for transport in transports:
        transport.close()
    return arrivals, delays


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--beacons-per-second", type=int, default=200)
    options = parser.parse_args()
    soft_limit = options.streams + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder, Footfall(Path(folder)) as footfall:
        settings = settings_from(footfall.environment)
        broker = broker_client(settings)
        channel = f"bench:{uuid7()}"
        url = stream_url(settings, channel)
        idle = asyncio.run(watch_idle(broker, url, channel, "<p>x</p>\n" * 150, options.streams))
        import_url = upload_contacts(footfall, options.rows)
        busy, delays = asyncio.run(watch_import(import_url, options.streams, footfall, options.beacons_per_second))
    last_idle, last_busy = idle.last_browser(options.streams), busy.last_browser(options.streams)
    print_figures(
        "live",
        {
            "streams": options.streams,
            "rows": options.rows,
            "states": len(busy.by_state),
            "last_browser_p50_ms": round(statistics.median(last_busy), 1),
            "last_browser_p99_ms": round(percentile(last_busy, 0.99), 1),
            "any_browser_p99_ms": round(percentile(busy.all(), 0.99), 1),
            "collect_p50_ms": round(statistics.median(delays), 2),
            "collect_p99_ms": round(percentile(delays, 0.99), 2),
            "reference_idle_last_browser_p50_ms": round(statistics.median(last_idle), 1),
            "reference_idle_last_browser_p99_ms": round(percentile(last_idle, 0.99), 1),
        },
    )


if __name__ == "__main__":
    main()
