"""An actor that does nothing and leaves no trace: what Dramatiq and Redis do alone."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from webapp.config import get_settings
from webapp.lib.redis import broker_client

broker = RedisBroker(client=broker_client(get_settings()), middleware=[], namespace="bench")  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="raw")
def do_nothing() -> None:
    """As it says."""
