"""Clients for the two Redis servers: `broker` (messages, live channels) and `beacons` (the stream)."""

from __future__ import annotations

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from webapp.config import Settings

SOCKET_TIMEOUT_SECONDS = 5.0
RETRIES = 3
"""Enough for a connection that broke; a server that is away is said to be so within half a second."""


def broker_client(settings: Settings) -> redis.Redis:
    """A client of the broker's Redis; connections are made on first use."""
    return redis.Redis.from_url(settings.redis_url, socket_timeout=SOCKET_TIMEOUT_SECONDS, retry=_retry())


def beacons_client(settings: Settings) -> redis.Redis:
    """A client of the Redis that holds the stream of beacons."""
    return redis.Redis.from_url(settings.beacons_redis_url, socket_timeout=SOCKET_TIMEOUT_SECONDS, retry=_retry())


def async_broker_client(settings: Settings) -> redis.asyncio.Redis:
    """As `broker_client`, for the edge. It does not try again: live channels must know of every break.

    The time limit holds for answers to commands, not for a subscription, on which nothing may be said for long.
    """
    return redis.asyncio.Redis.from_url(
        settings.redis_url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=AsyncRetry(NoBackoff(), 0),
    )


def async_beacons_client(settings: Settings) -> redis.asyncio.Redis:
    """As `beacons_client`, for the edge."""
    return redis.asyncio.Redis.from_url(settings.beacons_redis_url)


def _retry() -> Retry:
    return Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES)
