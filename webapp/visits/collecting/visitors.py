"""Visitors without an identifier: a hash with a salt of the day, which nobody can turn back once the salt is gone.

The salt lies in the beacons' Redis, so that every process of the edge makes the same hash, and for two days at
most, so that tomorrow's hashes tell nothing about today's.
"""

from __future__ import annotations

import asyncio
import secrets
from hashlib import blake2b

import redis
import redis.asyncio

from webapp.lib.keys import fold_key

SALT_BYTES = 32
SALT_SECONDS = 48 * 3600
DAY_MS = 86_400_000
ID_BYTES = 16


def day_of(now_ms: int) -> int:
    """The number of the UTC day."""
    return now_ms // DAY_MS


def salt_key(day: int) -> str:
    """Where the salt of a day lies."""
    return f"visitor-salt:{day}"


class Salts:
    """The salt of the day, asked once a day by each process."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._asking = asyncio.Lock()
        self._day = -1
        self._salt = b""

    def known(self, now_ms: int) -> bytes | None:
        """Today's salt, when it was asked before."""
        return self._salt if day_of(now_ms) == self._day else None

    async def find(self, now_ms: int) -> bytes:
        """Today's salt, made by whoever asks first; all who come meanwhile wait for that one answer."""
        async with self._asking:
            return self.known(now_ms) or await self._ask(day_of(now_ms))

    async def _ask(self, day: int) -> bytes:
        key = salt_key(day)
        await self._client.set(key, secrets.token_bytes(SALT_BYTES), nx=True, ex=SALT_SECONDS)
        salt = _whole(await self._client.get(key))
        self._day, self._salt = day, salt
        return salt


def find_salt(client: redis.Redis, now_ms: int) -> bytes:
    """As `Salts.find`, for whoever may wait."""
    key = salt_key(day_of(now_ms))
    client.set(key, secrets.token_bytes(SALT_BYTES), nx=True, ex=SALT_SECONDS)
    return _whole(client.get(key))


def _whole(salt: object) -> bytes:
    if not isinstance(salt, bytes) or len(salt) != SALT_BYTES:
        raise redis.RedisError("The salt of the day could not be kept.")
    return salt


def pseudonym(site_id: bytes, identifier: str) -> str:
    """Who anybody may claim to be, as a visitor of one site who is always the same and can name no record."""
    return blake2b(b"\0".join((site_id, fold_key(identifier.strip()).encode())), digest_size=ID_BYTES).hexdigest()


def cookieless_id(salt: bytes, site_id: bytes, address: str, user_agent: bytes) -> str:
    """The visitor of one site on one day. Lengths cannot be confused: the address holds no U+0000."""
    return blake2b(b"\0".join((site_id, address.encode(), user_agent)), key=salt, digest_size=ID_BYTES).hexdigest()
