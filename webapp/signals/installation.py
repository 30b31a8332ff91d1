"""How the installation is at this moment, read when Prometheus asks: what waits where, since when, and who answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import redis
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webapp.config import Settings
from webapp.health import ANSWER_SECONDS, ask_dependencies, short_client, short_connection
from webapp.jobs.broker import broker
from webapp.jobs.queue_names import QUEUES
from webapp.jobs.streams import STREAMS, count_entries, oldest_entry_ms
from webapp.lib.probe import Probe, ask_all
from webapp.visits import backlog

HELP = {
    "footfall_backlog_beacons": "Beacons that were accepted and are not counted yet.",
    "footfall_backlog_age_seconds": "Age of the oldest of them.",
    "footfall_beacons_aside": "Beacons that were accepted and could not be stored, and wait to be counted again.",
    "footfall_count_differences": "Differences that the last checks of all sites found, and nobody mended yet.",
    "footfall_count_differing_sites": "Sites of which they found some.",
    "footfall_count_check_age_seconds": "How long ago the site was checked whose last check is the oldest.",
    "footfall_queue_messages": "Messages that no worker has taken; of results and dead_letters what is to be written.",
    "footfall_queue_oldest_age_seconds": "Age of the oldest of them.",
    "footfall_jobs_waiting": "Jobs that are due and not sent; counted up to a limit.",
    "footfall_jobs_waiting_age_seconds": "For how long the oldest of them is due.",
    "footfall_jobs_in_flight": "Jobs that are sent or run; counted up to a limit.",
    "footfall_dependency_up": "Whether a dependency answers as it must, as on /readyz.",
}
JOBS = """
    SELECT queue, waiting_count, in_flight_count, coalesce(extract(epoch FROM now() - oldest_waiting_at), 0)::float
    FROM footfall_queue_state()
"""
CHECKS = """
    SELECT difference_count::float, site_count, coalesce(extract(epoch FROM now() - oldest_at), 0)::float
    FROM footfall_checks()
"""
ASIDE = "SELECT coalesce(sum(number), 0)::bigint FROM footfall_laid_aside(1000)"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """One number, with the value of its one label if it has one."""

    name: str
    value: float
    label: str = ""
    label_value: str = ""


class Installation(Collector):
    """Reads each server apart, so that one that is away leaves only its own numbers out."""

    def __init__(self, settings: Settings) -> None:
        readers: dict[str, Callable[[], list[Reading]]] = {
            "beacons": partial(read_backlog, settings),
            "broker": partial(read_queues, settings),
            "database": partial(read_jobs, settings),
        }
        self._probes = {name: Probe(read) for name, read in readers.items()}

    def collect(self) -> Iterable[Metric]:
        """Prometheus' families of what could be read."""
        problems = ask_dependencies()
        readings = [
            Reading("footfall_dependency_up", not problem, "dependency", name) for name, problem in problems.items()
        ]
        for name, answer in ask_all(self._probes, ANSWER_SECONDS).items():
            if isinstance(answer, Exception):
                logger.warning("The metrics of %s are left out: %s", name, answer)
            else:
                readings += answer
        return list(_families(readings))


def read_backlog(settings: Settings) -> list[Reading]:
    """Beacons that wait. The stream's ids are moments of the server's own clock."""
    with short_client(settings.beacons_redis_url) as client:
        count = int(client.get(backlog.COUNT_KEY) or 0)
        oldest = client.xrange(backlog.STREAM, count=1)
        now_ms = _now_ms(client)
    added_ms = int(oldest[0][0].partition(b"-")[0]) if oldest else now_ms
    age = max(now_ms - added_ms, 0) / 1000
    return [Reading("footfall_backlog_beacons", count), Reading("footfall_backlog_age_seconds", age)]


def read_queues(settings: Settings) -> list[Reading]:
    """Messages and outcomes that wait. Dramatiq appends to a list and takes from its head."""
    readings: list[Reading] = []
    with short_client(settings.redis_url) as client:
        now_ms = _now_ms(client)
        for queue in QUEUES:
            in_stream = queue in STREAMS
            count = count_entries(client, queue) if in_stream else int(client.llen(f"{broker.namespace}:{queue}"))
            since_ms = oldest_entry_ms(client, queue) if in_stream else _oldest_message_ms(client, queue)
            age = max(now_ms - since_ms, 0) / 1000 if since_ms is not None else 0
            readings.append(Reading("footfall_queue_messages", count, "queue", queue))
            readings.append(Reading("footfall_queue_oldest_age_seconds", age, "queue", queue))
    return readings


def read_jobs(settings: Settings) -> list[Reading]:
    """Jobs that wait in PostgreSQL for their turn."""
    with short_connection(settings) as connection:
        rows = connection.execute(JOBS).fetchall()
        aside = connection.execute(ASIDE).fetchone() or (0,)
        checks = connection.execute(CHECKS).fetchone() or (0, 0, 0)
    return [
        Reading("footfall_beacons_aside", aside[0]),
        Reading("footfall_count_differences", checks[0]),
        Reading("footfall_count_differing_sites", checks[1]),
        Reading("footfall_count_check_age_seconds", checks[2]),
        *(
            Reading(f"footfall_jobs_{what}", number, "queue", queue)
            for queue, waiting_count, in_flight_count, age in rows
            for what, number in (
                ("waiting", waiting_count),
                ("in_flight", in_flight_count),
                ("waiting_age_seconds", age),
            )
        ),
    ]


def _oldest_message_ms(client: redis.Redis, queue: str) -> int | None:
    """When the message at the head was sent; None when there is none, or a worker takes it just now."""
    message_id = client.lindex(f"{broker.namespace}:{queue}", 0)
    content = client.hget(f"{broker.namespace}:{queue}.msgs", message_id) if message_id else None
    return int(json.loads(content)["message_timestamp"]) if content else None


def _now_ms(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return int(seconds * 1000 + microseconds // 1000)


def _families(readings: Sequence[Reading]) -> Iterator[Metric]:
    for name, help_text in HELP.items():
        found = [reading for reading in readings if reading.name == name]
        if not found:
            continue
        family = GaugeMetricFamily(name, help_text, labels=[found[0].label] if found[0].label else [])
        for reading in found:
            family.add_metric([reading.label_value] if reading.label else [], reading.value)
        yield family
