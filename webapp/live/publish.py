"""Say what changed: keep a channel's present state and tell everyone who listens."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, cast

import redis

from webapp.live.channels import MAX_AGE_SECONDS, STATE_LIFETIME_SECONDS, state_key

WATCHED_KEY = "live:watched"
WALK_KEY = "live:watched:place"


def publish(broker: redis.Redis, channel: str, data: dict[str, Any], html: str = "", *, final: bool = False) -> None:
    """Keep `data` (for programs) and `html` (for pages) as the channel's state and send both.

    The state is kept before it is sent, in one step, so that whoever subscribes and then reads the
    state misses nothing. After a `final` state the streams of this channel end.
    """
    said_at = time.time_ns() // 1_000_000
    content = {"data": data, "html": html, "final": final, "said_at": said_at}
    state = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    with broker.pipeline(transaction=True) as pipeline:
        pipeline.set(state_key(channel), state, ex=STATE_LIFETIME_SECONDS)
        pipeline.publish(state_key(channel), state)
        pipeline.execute()


def may_publish(broker: redis.Redis, channel: str, every_milliseconds: int) -> bool:
    """Whether this channel was silent for long enough; a busy subject asks before it renders."""
    return bool(broker.set(f"{state_key(channel)}:pace", 1, nx=True, px=every_milliseconds))


def read_states(broker: redis.Redis, channels: Sequence[str]) -> list[dict[str, Any] | None]:
    """What `publish` keeps of each channel: `data`, `html`, `final` and `said_at` (milliseconds since 1970)."""
    states = cast("list[bytes | None]", broker.mget([state_key(channel) for channel in channels]))
    return [None if state is None else json.loads(state) for state in states]


def watch(broker: redis.Redis, channel: str) -> None:
    """Have the channel's subject published from now on, for as long as its address works.

    Call it before the subject is read for the page: what changes after that is published, what changed before is
    on the page. A state that was kept before anyone watched may be out of date: nobody shall begin with it.
    """
    now = int(time.time())
    if broker.zadd(WATCHED_KEY, {channel: now + MAX_AGE_SECONDS}):
        broker.delete(state_key(channel))
    broker.zremrangebyscore(WATCHED_KEY, "-inf", now)


def watched(broker: redis.Redis, channels: Sequence[str]) -> list[str]:
    """Those of the channels that somebody may be looking at."""
    scores = broker.zmscore(WATCHED_KEY, list(channels))
    return [channel for channel, score in zip(channels, scores, strict=True) if score is not None]


def walk_watched(broker: redis.Redis, step: int) -> list[str]:
    """About `step` of the channels that somebody may be looking at; the next call goes on from there, and around."""
    broker.zremrangebyscore(WATCHED_KEY, "-inf", int(time.time()))
    place = int(cast("bytes | None", broker.get(WALK_KEY)) or 0)
    place, found = cast("tuple[int, list[tuple[bytes, float]]]", broker.zscan(WATCHED_KEY, place, count=step))
    broker.set(WALK_KEY, place)
    return sorted({channel.decode() for channel, _ in found})


def unwatch(broker: redis.Redis, channel: str) -> None:
    """Its subject is over, and that was published some time ago."""
    broker.zrem(WATCHED_KEY, channel)
