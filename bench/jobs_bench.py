"""Jobs: how many a second, how soon one runs, how fast the list of millions is, and a thousand browsers on one.

Starts a whole Footfall on ports and data of its own. Beside the rate from committed rows to rows recorded as
completed stands what Dramatiq and Redis do alone, with as many worker processes and nothing kept in PostgreSQL;
beside the list's times, the same question answered by reading all rows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests

from bench.live_bench import open_streams, percentile
from bench.support import ROOT, Footfall, print_figures
from webapp.config import settings_from
from webapp.lib.redis import broker_client

PATIENCE_SECONDS = 300.0
CLIENTS = 8
ADD_JOBS = """
    INSERT INTO jobs (organisation_id, id, kind, queue, title, state, parameters, progress_count, attempt_count,
                      attempt_limit, redrive_count, in_chunks, created_at, run_at)
    SELECT (SELECT id FROM organisations WHERE slug = 'demo'), uuidv7(), 'no_operation', 'jobs', 'No operation',
           'pending', '{}', 0, 0, 3, 0, false, now(), now()
    FROM generate_series(1, %s)
"""
ADD_HISTORY = """
    INSERT INTO jobs (organisation_id, id, kind, queue, title, state, parameters, progress_count, attempt_count,
                      attempt_limit, redrive_count, in_chunks, error, created_at, run_at, started_at, ended_at)
    SELECT (SELECT id FROM organisations WHERE slug = 'demo'), uuidv7(make_interval(secs => i - %(count)s)), kind,
           'jobs', title || ' ' || i, state, '{}', 0, 1, 3, 0, false,
           CASE WHEN state IN ('failed', 'dead') THEN 'The connection broke.' END, now(), now(), now(), now()
    FROM (
        SELECT i,
            (ARRAY['no_operation', 'no_operation', 'no_operation', 'find_picture', 'import', 'rehearsal'])[1 + i %% 6]
                AS kind,
            (ARRAY['Picture for shoe', 'Import customers.csv', 'Rehearsal of'])[1 + i %% 3] AS title,
            CASE WHEN i %% 1000 = 0 THEN 'dead' WHEN i %% 100 = 1 THEN 'failed' WHEN i %% 50 = 2 THEN 'cancelled'
                 ELSE 'completed' END AS state
        FROM generate_series(%(first)s, %(last)s) AS i) AS made
"""
FILTERS = {
    "all": "",
    "dead": "state=dead",
    "failed and dead": "state=failed&state=dead",
    "a kind": "kind=find_picture",
    "a kind's failures": "kind=rehearsal&state=failed",
    "what is rare": "kind=import&state=cancelled",
    "a queue": "queue=jobs",
    "a week": f"since={datetime.now(UTC) - timedelta(days=8):%Y-%m-%d}&until={datetime.now(UTC):%Y-%m-%d}",
    "a word": "text=shoe",
    "a word that is nowhere": "text=nowhere",
}
CHUNK = 250_000


class Bench:
    """A running Footfall, seen from outside and from below."""

    def __init__(self, footfall: Footfall) -> None:
        self.footfall = footfall
        self.settings = settings_from(footfall.environment)
        self.headers = {"Authorization": f"Bearer {footfall.api_key}"}

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.settings.database_url, autocommit=True)

    def post_job(self, client: requests.Session, kind: str, **parameters: object) -> dict[str, Any]:
        body = {"kind": kind, "parameters": parameters}
        answer = client.post(f"{self.footfall.web_url}/api/v1/jobs", json=body, headers=self.headers, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def wait_for(is_reached: Callable[[], bool], pause_seconds: float = 0.02) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_reached():
        if time.monotonic() > deadline:
            raise RuntimeError("It takes too long.")
        time.sleep(pause_seconds)


def measure_throughput(bench: Bench, count: int) -> float:
    """Jobs a second, from the commit of all their rows to the last one recorded as completed."""
    unfinished = "SELECT EXISTS (SELECT FROM jobs WHERE state IN ('pending', 'running', 'retrying'))"
    with bench.connect() as connection:
        connection.execute(ADD_JOBS, [count])
        began = time.perf_counter()
        wait_for(lambda: connection.execute(unfinished).fetchone() == (False,))
        took = time.perf_counter() - began
        done = connection.execute("SELECT count(*) FROM jobs WHERE kind = 'no_operation' AND state = 'completed'")
        assert done.fetchone() == (count,)
        connection.execute("DELETE FROM jobs")
    return count / took


def measure_raw(bench: Bench, count: int) -> float:
    """Messages a second through Dramatiq and Redis alone, with the same processes and threads."""
    code = "import sys; from bench.raw_actor import do_nothing\nfor _ in range(int(sys.argv[1])): do_nothing.send()"
    subprocess.run([sys.executable, "-c", code, str(count)], env=bench.footfall.environment, cwd=ROOT, check=True)
    broker = broker_client(bench.settings)
    command = [sys.executable, "-m", "dramatiq", "bench.raw_actor", "--processes", "2", "--threads", "2"]
    process = subprocess.Popen(command, env=bench.footfall.environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: int(broker.hlen("bench:raw.msgs")) < count)
        first, began = int(broker.hlen("bench:raw.msgs")), time.perf_counter()
        wait_for(lambda: not broker.hlen("bench:raw.msgs"), 0.005)
        return first / (time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(30)


def measure_posts(bench: Bench, seconds: float) -> tuple[float, float]:
    """`POST /jobs` a second by eight clients, and `GET /healthz` by the same ones as the reference."""

    def post(client: requests.Session) -> None:
        bench.post_job(client, "no_operation")

    def get(client: requests.Session) -> None:
        client.get(f"{bench.footfall.web_url}/healthz", timeout=30).raise_for_status()

    return rate(post, seconds), rate(get, seconds)


def rate(call: Callable[[requests.Session], None], seconds: float) -> float:
    def work(until: float) -> int:
        done = 0
        with requests.Session() as client:
            while time.perf_counter() < until:
                call(client)
                done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        done = sum(pool.map(work, [began + seconds] * CLIENTS))
    return done / (time.perf_counter() - began)


def measure_latency(bench: Bench, count: int) -> list[float]:
    """Milliseconds from before the request to the job's start in a worker, one at a time on an idle system."""
    delays = []
    with requests.Session() as client, bench.connect() as connection:
        for _ in range(count):
            time.sleep(random.uniform(0.05, 0.25))
            began = time.time()
            job_id = bench.post_job(client, "no_operation")["id"]
            started = "SELECT extract(epoch FROM started_at) FROM jobs WHERE id = %s AND started_at IS NOT NULL"
            wait_for(lambda: connection.execute(started, [job_id]).fetchone() is not None, 0.005)  # noqa: B023
            row = connection.execute(started, [job_id]).fetchone()
            assert row is not None
            delays.append((float(row[0]) - began) * 1000)
    return sorted(delays)


def measure_list(bench: Bench, count: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of the list of jobs by filter, over the API; the slowest filter's 95th percentile counts."""
    with bench.connect() as connection:
        for first in range(1, count + 1, CHUNK):
            last = min(count, first + CHUNK - 1)
            connection.execute(ADD_HISTORY, {"count": count, "first": first, "last": last})
        connection.execute("VACUUM ANALYZE jobs")
        reference = min(scan_milliseconds(connection) for _ in range(3))
    times: dict[str, list[float]] = {name: [] for name in FILTERS}
    with requests.Session() as client:
        for _ in range(rounds):
            for name, query in FILTERS.items():
                url = f"{bench.footfall.web_url}/api/v1/jobs?{query}"
                began = time.perf_counter()
                client.get(url, headers=bench.headers, timeout=60).raise_for_status()
                times[name].append((time.perf_counter() - began) * 1000)
    p95 = {name: percentile(sorted(some), 0.95) for name, some in times.items()}
    slowest = max(p95, key=lambda name: p95[name])
    return {
        "list_jobs": count,
        "list_p95_ms": round(percentile(sorted(ms for some in times.values() for ms in some), 0.95), 1),
        "list_slowest_filter": slowest,
        "list_slowest_p95_ms": round(p95[slowest], 1),
        "reference_scan_ms": round(reference, 1),
    }


def scan_milliseconds(connection: psycopg.Connection[Any]) -> float:
    """The same question without an index: the newest failures of a kind, by reading all rows."""
    began = time.perf_counter()
    with connection.transaction():
        connection.execute("SET LOCAL enable_indexscan = off")
        connection.execute("SET LOCAL enable_bitmapscan = off")
        connection.execute("SET LOCAL enable_indexonlyscan = off")
        connection.execute(
            "SELECT * FROM jobs WHERE kind = 'rehearsal' AND state = 'failed' ORDER BY id DESC LIMIT 40"
        ).fetchall()
    return (time.perf_counter() - began) * 1000


def measure_streams(bench: Bench, count: int) -> dict[str, Any]:
    """A thousand browsers on one rehearsal, while somebody reads pages."""
    with requests.Session() as client:
        job = bench.post_job(client, "rehearsal", step_count=120, step_milliseconds=100, ending="completes")
        url = f"{bench.footfall.web_url}/api/v1/jobs/{job['id']}/events"
        answer = client.get(url, headers=bench.headers, allow_redirects=False, timeout=30)
    with reading_pages(bench) as page_times:
        arrivals = asyncio.run(watch(answer.headers["Location"], count))
    last = arrivals.last_browser(count)
    return {
        "streams": count,
        "stream_states": len(last),
        "stream_last_browser_p50_ms": round(statistics.median(last), 1),
        "stream_last_browser_p99_ms": round(percentile(last, 0.99), 1),
        "stream_any_browser_p99_ms": round(percentile(arrivals.all(), 0.99), 1),
        "stream_pages_p95_ms": round(percentile(sorted(page_times), 0.95), 1),
    }


async def watch(url: str, count: int) -> Any:
    arrivals, transports = await open_streams(url, count)
    await asyncio.sleep(1.0)
    arrivals.by_state.clear()  # the present state, which came late on purpose
    async with asyncio.timeout(PATIENCE_SECONDS):
        while arrivals.ended_count < count:
            await asyncio.sleep(0.2)
    for transport in transports:
        transport.close()
    return arrivals


@contextmanager
def reading_pages(bench: Bench) -> Iterator[list[float]]:
    """Somebody reads the list of jobs over the API, ten times a second; their waits in milliseconds."""
    code = (
        "import sys, time, requests\n"
        "client = requests.Session()\n"
        "while True:\n"
        "    began = time.perf_counter()\n"
        "    client.get(sys.argv[1], headers={'Authorization': sys.argv[2]}, timeout=60).raise_for_status()\n"
        "    print((time.perf_counter() - began) * 1000, flush=True)\n"
        "    time.sleep(0.1)\n"
    )
    command = [sys.executable, "-c", code, f"{bench.footfall.web_url}/api/v1/jobs", bench.headers["Authorization"]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    times: list[float] = []
    try:
        yield times
    finally:
        process.terminate()
        output, _ = process.communicate()
        times.extend(float(line) for line in output.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--history", type=int, default=5_000_000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--latencies", type=int, default=300)
    options = parser.parse_args()
    soft_limit = options.streams + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder, Footfall(Path(folder)) as footfall:
        print_figures("jobs", measure(Bench(footfall), options))


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {"jobs": options.jobs}
    measure_throughput(bench, 1_000)  # warm
    small, large = measure_throughput(bench, options.jobs // 5), measure_throughput(bench, options.jobs)
    figures |= {"jobs_per_second_a_fifth": round(small), "jobs_per_second": round(large)}
    figures["reference_dramatiq_alone_per_second"] = round(measure_raw(bench, options.jobs))
    posts, reference = measure_posts(bench, 8)
    figures |= {"posts_per_second": round(posts), "reference_healthz_per_second": round(reference)}
    time.sleep(3)
    delays = measure_latency(bench, options.latencies)
    figures["post_to_running_p50_ms"] = round(statistics.median(delays), 1)
    figures["post_to_running_p99_ms"] = round(percentile(delays, 0.99), 1)
    if options.streams:
        figures |= measure_streams(bench, options.streams)
    if options.history:
        figures |= measure_list(bench, options.history, 20)
    return figures


if __name__ == "__main__":
    main()
