"""Clients for the two Redis servers: `broker` (messages, live channels) and `beacons` (the stream)."""

from __future__ import annotations

import redis
import redis.asyncio

from webapp.config import Settings

SOCKET_TIMEOUT_SECONDS = 5.0


def broker_client(settings: Settings) -> redis.Redis:
    """A client of the broker's Redis; connections are made on first use."""
    return redis.Redis.from_url(settings.redis_url, socket_timeout=SOCKET_TIMEOUT_SECONDS)


def beacons_client(settings: Settings) -> redis.Redis:
    """A client of the Redis that holds the stream of beacons."""
    return redis.Redis.from_url(settings.beacons_redis_url, socket_timeout=SOCKET_TIMEOUT_SECONDS)


def async_broker_client(settings: Settings) -> redis.asyncio.Redis:
    """As `broker_client`, for the edge."""
    return redis.asyncio.Redis.from_url(settings.redis_url)


def async_beacons_client(settings: Settings) -> redis.asyncio.Redis:
    """As `beacons_client`, for the edge."""
    return redis.asyncio.Redis.from_url(settings.beacons_redis_url)
