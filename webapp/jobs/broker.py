"""Dramatiq's broker. Importing this module makes it the global one: import it before any actor.

PostgreSQL remembers every job and chunk, so Dramatiq neither retries nor keeps results here: a
message that fails or is lost is sent again by whoever finds its row unfinished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, Callbacks, Middleware, ShutdownNotifications, TimeLimit

from webapp.config import get_settings
from webapp.jobs.queue_names import QUEUES
from webapp.jobs.signals import Signals
from webapp.jobs.worker_life import WorkerLife
from webapp.lib.redis import broker_client

if TYPE_CHECKING:
    from flask import Flask

HEARTBEAT_TIMEOUT_MILLISECONDS = 15_000
MAINTENANCE_CHANCE_IN_A_MILLION = 50_000
NO_TIME_LIMIT = float("inf")

P = ParamSpec("P")


class AppContext(Middleware):
    """Runs every actor inside a Flask app context of its own, so that its database session ends with it."""

    def __init__(self) -> None:
        self.app: Flask | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        from webapp.app import create_app

        self.app = create_app()

    def wrap(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `function` in the worker's app; in other processes in the app that is current."""
        if self.app is None:
            function(*args, **kwargs)
            return
        with self.app.app_context():
            function(*args, **kwargs)


app_context = AppContext()


def make_broker() -> RedisBroker:
    """A broker on the `broker` Redis with only the middleware that is used."""
    life = WorkerLife(app_context, QUEUES)
    return RedisBroker(  # type: ignore[no-untyped-call]  # the package annotates only its other half
        client=broker_client(get_settings()),
        middleware=[Signals(), AgeLimit(), TimeLimit(), ShutdownNotifications(), Callbacks(), app_context, life],
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MILLISECONDS,
        maintenance_chance=MAINTENANCE_CHANCE_IN_A_MILLION,
    )


broker = make_broker()
dramatiq.set_broker(broker)


def actor(queue: str) -> Callable[[Callable[P, None]], dramatiq.Actor[P, None]]:
    """Declare an actor: a function of texts that runs in a worker, inside an app context.

    A message carries ids only, and running one twice must do no harm.
    """

    def declare(function: Callable[P, None]) -> dramatiq.Actor[P, None]:
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            app_context.wrap(function, *args, **kwargs)

        run.__doc__ = function.__doc__
        name = f"{function.__module__.removeprefix('webapp.').removesuffix('.tasks')}.{function.__name__}"
        declare_actor = dramatiq.actor(actor_name=name, queue_name=queue, broker=broker, time_limit=NO_TIME_LIMIT)
        return declare_actor(run)

    return declare


def waiting_count(queue: str) -> int:
    """Messages in a queue that no worker has fetched yet."""
    return int(broker.client.llen(f"{broker.namespace}:{queue}"))
