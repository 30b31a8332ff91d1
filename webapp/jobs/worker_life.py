"""A worker process from its boot to its end, as Dramatiq's middleware sees it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING, Any, Protocol

import dramatiq
import redis
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Middleware
from redis.exceptions import RedisError
from sqlalchemy import Engine

from webapp.extensions import db
from webapp.jobs.workers import Heart, Work, begin_worker, tell, this_worker
from webapp.lib.clock import utc_now

if TYPE_CHECKING:
    from flask import Flask

COUNTED_BY_MESSAGE = frozenset({"default", "imports"})
"""Messages of the other queues hold many jobs, outcomes or beacons, which are counted where they are done."""

logger = logging.getLogger(__name__)


class HasApp(Protocol):
    """Where the worker's app is found, once it is made."""

    app: Flask | None


class WorkerLife(Middleware):
    """Gives the process its heart, says what it does, stops paused queues, and lets it end without keeping anyone
    waiting: what it has at hand and has not begun goes back to the others at once."""

    def __init__(self, context: HasApp, queues: Sequence[str]) -> None:
        self._context = context
        self._queues = queues
        self._heart: Heart | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        client = self._broker_client()
        me = begin_worker(worker.consumer_whitelist or self._queues, worker.worker_threads)
        self._heart = Heart(me, client, self._engine(), lambda paused: pause_queues(worker, paused))
        self._heart.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        this_worker().stopping.set()
        pause_queues(worker, set(worker.consumers))
        try:
            give_back(worker)
            tell(self._broker_client(), this_worker().state())
        except (RedisError, BrokerConnectionError) as error:
            logger.warning("A worker that stops cannot say so: %s", error)

    def _engine(self) -> Engine:
        app = self._context.app
        if app is None:
            raise RuntimeError("The worker's app is made before its heart.")
        with app.app_context():
            return db.engine

    def _broker_client(self) -> redis.Redis:
        if self._context.app is None:
            raise RuntimeError("The worker's app is made before its heart.")
        client: redis.Redis = self._context.app.extensions["broker"]
        return client

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if self._heart is not None:
            self._heart.stop()

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        this_worker().begin(Work(message.actor_name, utc_now()))

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        this_worker().end()
        if message.queue_name in COUNTED_BY_MESSAGE:
            this_worker().count_done(message.queue_name)

    after_skip_message = after_process_message


def pause_queues(worker: dramatiq.Worker, paused: set[str]) -> None:
    """Take nothing more from these queues, and again from all others. What is at hand is still done.

    A worker that stops stays paused.
    """
    for name, consumer in list(worker.consumers.items()):
        should_pause = name in paused or this_worker().stopping.is_set()
        if should_pause and not consumer.paused:
            consumer.pause()
        elif consumer.paused and not should_pause:
            consumer.resume()


def give_back(worker: dramatiq.Worker) -> None:
    """Put messages that were fetched and not begun back into their queues."""
    at_hand: dict[str, list[dramatiq.MessageProxy]] = {}
    with suppress(Empty):
        while True:
            message = worker.work_queue.get_nowait().message
            at_hand.setdefault(message.queue_name, []).append(message)
    for name, messages in at_hand.items():
        worker.consumers[name].requeue_messages(messages)
