"""How many beacons does `/collect` accept, how long does an answer take, and is every one of them counted?

Closed loop: `wrk` with 64 connections (a generator in Python would be the slower side). Fixed rate: a small
generator of our own on raw sockets, which measures from the moment a beacon was due, so that a server that
stalls is not measured less often. The reference is a bare Node server that reads the body and answers 204,
under the same `wrk` script in the same run. All of it on 127.0.0.1, on the machine that runs the servers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import psycopg
import requests

from bench.support import ROOT, USER_AGENT, Footfall, beacon, print_figures, upload_contacts
from webapp.config import Settings, settings_from

CONNECTIONS = 64
READERS = 8
RATE = 5000
COUNT_SECONDS = 300.0
CLIENT_NICENESS = -10
SESSION = Path("/proc/self/autogroup")
IMPORT_ROWS = 500_000
REFERENCE_PORT = 21310


@dataclass(frozen=True)
class Load:
    """What a closed loop of `wrk` saw."""

    accepted: int
    per_second: int
    p50_ms: float
    p99_ms: float


def wrk(url: str, seconds: int, site_key: str) -> Load:
    """64 connections that post one beacon after another."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", "bench/beacons.lua", url]
    environment = {**os.environ, "SITE_KEY": site_key, "USER_AGENT": USER_AGENT}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    if figures["refused"] or figures["broken"]:
        raise SystemExit(f"{url} refused or broke some requests: {figures}")
    per_second = round(figures["requests"] / (figures["microseconds"] / 1e6))
    return Load(figures["requests"], per_second, figures["p50_ms"], figures["p99_ms"])


@contextmanager
def reference_server() -> Iterator[str]:
    """The bare Node server."""
    command = ["node", str(ROOT / "bench" / "reference_server.js"), str(REFERENCE_PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise SystemExit("The reference server did not start.")
        try:
            yield f"http://127.0.0.1:{REFERENCE_PORT}/collect"
        finally:
            process.terminate()


@contextmanager
def reading_pages(footfall: Footfall, settings: Settings, seconds: int) -> Iterator[None]:
    """Eight signed-in clients that load the visits page again and again."""
    cookie = f"Cookie: session={signed_in_cookie(settings)}"
    command = ["wrk", "-t1", f"-c{READERS}", f"-d{seconds}s", "--timeout", "30s", "-H", cookie]
    with subprocess.Popen([*command, f"{footfall.web_url}/visits"], stdout=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        yield
        output, _ = process.communicate()
        if "Non-2xx" in output or "requests in" not in output:
            raise SystemExit(f"The pages could not be read:\n{output}")
        print(f"(meanwhile {output.split('requests in')[0].split()[-1]} pages were read)")


@contextmanager
def syncing(folder: Path) -> Iterator[list[float]]:
    """Milliseconds that the disk takes to keep 4 KiB, ten times a second: no answer that is sure to last is faster."""
    delays: list[float] = []
    stop = Event()

    def sync() -> None:
        with (folder / "synced").open("wb", buffering=0) as file:
            while not stop.wait(0.1):
                began = time.perf_counter()
                file.write(bytes(4096))
                os.fdatasync(file.fileno())
                delays.append((time.perf_counter() - began) * 1000)

    thread = Thread(target=sync)
    thread.start()
    try:
        yield delays
    finally:
        stop.set()
        thread.join()


def signed_in_cookie(settings: Settings) -> str:
    """The session cookie of a member of the demo organisation."""
    from sqlalchemy import select

    from webapp.accounts.models import Membership, Organisation, Role, User
    from webapp.app import create_app
    from webapp.extensions import db, tenant

    app = create_app(settings)
    with app.app_context():
        organisation_id = db.session.scalars(select(Organisation.id).where(Organisation.slug == "demo")).one()
        user = User(issuer="bench", subject=str(time.time()), email="bench@example.com", name="Bench")
        db.session.add(user)
        db.session.flush()
        cookie_id = user.get_id()
        with tenant(organisation_id):
            db.session.add(Membership(organisation_id=organisation_id, user_id=user.id, role=Role.MEMBER))
            db.session.commit()
        serializer: Any = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        return str(serializer.dumps({"_user_id": cookie_id, "_fresh": True}))


class Poster(asyncio.Protocol):
    """One connection: takes the next beacon that is due, posts it, waits for its answer."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._due = 0.0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._schedule.idle.append(self)

    def post(self, due: float) -> None:
        self._due = due
        body = beacon(self._schedule.site_key)
        head = f"{self._schedule.head}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        """Every answer of ours is short, and an accepted one has no body."""
        self._rest += data
        if b"\r\n\r\n" not in self._rest:
            return
        if not self._rest.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"A beacon was refused: {self._rest[:300]!r}")
        self._rest = b""
        self._schedule.delays.append((time.perf_counter() - self._due) * 1000)
        self._schedule.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if error:
            raise SystemExit(f"A connection broke: {error}")


class Schedule:
    """Beacons at a fixed rate over 64 connections; what finds none free waits, and its wait counts."""

    def __init__(self, url: str, site_key: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.site_key = site_key
        self.head = f"POST /collect HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: text/plain\r\n"
        self.head += f"User-Agent: {USER_AGENT}\r\nAccept-Language: en-GB,en;q=0.9\r\nOrigin: https://bench.example\r\n"
        self.idle: deque[Poster] = deque()  # in turn, since the edge closes a connection that idles for 5 s
        self.delays: list[float] = []

    async def run(self, rate: int, seconds: int) -> None:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(lambda: Poster(self), self.host, self.port) for _ in range(CONNECTIONS)]
        start, total, posted = time.perf_counter(), rate * seconds, 0
        while posted < total:
            now = time.perf_counter()
            while self.idle and posted < total and start + posted / rate <= now:
                self.idle.popleft().post(start + posted / rate)
                posted += 1
            await asyncio.sleep(0.0005)
        async with asyncio.timeout(30):
            while len(self.delays) < total:
                await asyncio.sleep(0.01)
        for transport, _ in made:
            transport.close()


def fixed_rate(url: str, site_key: str, seconds: int) -> list[float]:
    """Delays in milliseconds of RATE beacons a second, all of them accepted."""
    schedule = Schedule(url, site_key)
    with ahead_of_others():
        asyncio.run(schedule.run(RATE, seconds))
    return sorted(schedule.delays)


@contextmanager
def ahead_of_others() -> Iterator[None]:
    """Browsers have processors of their own: let ours not wait for one, where we may say so."""
    try:
        set_niceness(CLIENT_NICENESS)
    except OSError:
        print("(the client waits for the processor as everybody does: only root may change that)")
        yield
        return
    try:
        yield
    finally:
        set_niceness(0)


def set_niceness(niceness: int) -> None:
    """This process's, and its session's where Linux shares the processor among sessions."""
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if SESSION.exists():
        SESSION.write_text(str(niceness), encoding="ascii")


def begin_import(footfall: Footfall) -> None:
    """Start an import that lasts longer than a load."""
    upload_contacts(footfall, IMPORT_ROWS)


def check_import_runs(footfall: Footfall) -> None:
    """Fail when it does not, and nothing was beside the load."""
    headers = {"Authorization": f"Bearer {footfall.api_key}"}
    url = f"{footfall.web_url}/api/v1/bulk-actions"
    answer = requests.get(url, headers=headers, params={"state": "running"}, timeout=60)
    if not answer.json()["data"]:
        raise SystemExit("The import was over too soon, or never began.")


def wait_until_counted(settings: Settings, site_key: str, accepted: int, in_flight: int = 0) -> tuple[int, float]:
    """How many beacons PostgreSQL counts once none waits, and after how many seconds; fails when that is wrong.

    `wrk` does not wait for its last answers, so up to one a connection may be counted that it did not see accepted.
    """
    from webapp.lib.redis import beacons_client
    from webapp.visits.backlog import COUNT_KEY

    began = time.monotonic()
    with beacons_client(settings) as client, psycopg.connect(settings.database_url, autocommit=True) as connection:
        while int(client.get(COUNT_KEY) or 0):
            if time.monotonic() > began + COUNT_SECONDS:
                raise SystemExit("The stream of beacons does not get empty.")
            time.sleep(0.05)
        seconds = time.monotonic() - began
        count, raw = _counted(connection, site_key), _raw(connection, site_key)
    if not accepted <= count <= accepted + in_flight or raw != count:
        raise SystemExit(f"{accepted:,} beacons were accepted, {count:,} are rolled up and {raw:,} are stored.")
    return count, seconds


def _counted(connection: psycopg.Connection[Any], site_key: str) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(pageview_count), 0) FROM site_roll_ups r JOIN sites s ON s.id = r.site_id"
        " WHERE s.site_key = %s AND r.grain = 'month'",
        [site_key],
    ).fetchone()
    return int(row[0]) if row else 0


def _raw(connection: psycopg.Connection[Any], site_key: str) -> int:
    row = connection.execute(
        "SELECT sum(r.row_count) FROM ("
        " SELECT site_id, row_count FROM raw_chunks WHERE kind = 'activity' UNION ALL"
        " SELECT site_id, row_count FROM sealed_files WHERE kind = 'activity' AND state = 'sealed'"
        ") AS r JOIN sites s ON s.id = r.site_id WHERE s.site_key = %s",
        [site_key],
    ).fetchone()
    return int(row[0] or 0) if row else 0


def measure(folder: Path, seconds: int) -> None:
    with Footfall(folder) as footfall:
        settings = settings_from(footfall.environment)
        url, key = f"{footfall.edge_url}/collect", footfall.site_key
        with reference_server() as reference_url:
            warm_up = wrk(url, 1, key)
            reference = wrk(reference_url, seconds, key)
            alone = wrk(url, seconds, key)
            count, alone_seconds = wait_until_counted(
                settings, key, warm_up.accepted + alone.accepted, in_flight=2 * CONNECTIONS
            )
            reference_again = wrk(reference_url, seconds, key)
        with reading_pages(footfall, settings, seconds + 3):
            busy = wrk(url, seconds, key)
        count, _ = wait_until_counted(settings, key, count + busy.accepted, in_flight=CONNECTIONS)
        delays = fixed_rate(url, key, seconds)
        count, fixed_seconds = wait_until_counted(settings, key, count + len(delays))
        with reading_pages(footfall, settings, seconds + 3):
            busy_delays = fixed_rate(url, key, seconds)
        count, _ = wait_until_counted(settings, key, count + len(busy_delays))
        begin_import(footfall)
        with reading_pages(footfall, settings, seconds + 3), syncing(folder) as syncs:
            busiest_delays = fixed_rate(url, key, seconds)
        check_import_runs(footfall)
        count, _ = wait_until_counted(settings, key, count + len(busiest_delays))
    bare = (reference.per_second + reference_again.per_second) / 2
    print_figures(
        "collect",
        {
            "bare Node 204, requests/s": f"{reference.per_second} and {reference_again.per_second}",
            "alone, beacons/s": alone.per_second,
            "alone, ratio to bare Node": round(alone.per_second / bare, 3),
            "alone, p50 / p99 ms": f"{alone.p50_ms:.2f} / {alone.p99_ms:.2f}",
            "alone, seconds until all counted": round(alone_seconds, 1),
            "with eight readers, beacons/s": busy.per_second,
            "with eight readers, p50 / p99 ms": f"{busy.p50_ms:.2f} / {busy.p99_ms:.2f}",
            f"at {RATE}/s, p50 / p99 ms": _percentiles(delays),
            f"at {RATE}/s, seconds until all counted": round(fixed_seconds, 1),
            f"at {RATE}/s with eight readers, p50 / p99 ms": _percentiles(busy_delays),
            f"at {RATE}/s with eight readers and an import, p50 / p99 ms": _percentiles(busiest_delays),
            "meanwhile an fdatasync of 4 KiB, p50 / p99 ms": _percentiles(sorted(syncs)),
            "accepted and counted": count,
            "load average": f"{os.getloadavg()[0]:.1f}",
        },
    )


def _percentiles(delays: list[float]) -> str:
    return f"{delays[len(delays) // 2]:.2f} / {delays[int(len(delays) * 0.99)]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="How long each load lasts.")
    arguments = parser.parse_args()
    for tool, remedy in (("wrk", "apt-get install wrk"), ("node", "install Node")):
        if not shutil.which(tool):
            sys.exit(f"This bench needs {tool}: {remedy}.")
    with tempfile.TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        measure(Path(folder), arguments.seconds)


if __name__ == "__main__":
    main()
