"""Say what changed: keep a channel's present state and tell everyone who listens."""

from __future__ import annotations

import json
import time
from typing import Any

import redis

from webapp.live.channels import STATE_LIFETIME_SECONDS, state_key


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


def has_ended(broker: redis.Redis, channel: str) -> bool:
    """Whether the channel's kept state is a final one, after which its streams end."""
    state = broker.get(state_key(channel))
    return isinstance(state, bytes) and bool(json.loads(state)["final"])
