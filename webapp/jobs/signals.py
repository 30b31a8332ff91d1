"""Each message's id in the logs, and each actor's run in the traces."""

from __future__ import annotations

from contextlib import ExitStack
from threading import get_ident
from typing import Any

import dramatiq
from dramatiq.middleware import Middleware

from webapp import tracing
from webapp.lib.log import logged
from webapp.process import begin_process

TRACE = "trace"


class Signals(Middleware):
    """Begins the process, and frames every message. It stands first, so that what the others log is framed too."""

    def __init__(self) -> None:
        self._frames: dict[int, ExitStack] = {}  # by thread

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        begin_process("worker")

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        tracing.end()

    def before_enqueue(self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None) -> None:
        carrier: dict[str, str] = {}
        tracing.carry(carrier)
        if carrier:
            message.options[TRACE] = carrier

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        names = {"messaging.system": "dramatiq", "messaging.destination.name": message.queue_name}
        frame = self._frames[get_ident()] = ExitStack()
        frame.enter_context(tracing.span(message.actor_name, "consumer", names, message.options.get(TRACE)))
        fields = {"message_id": message.message_id, "actor": message.actor_name, **tracing.trace_fields()}
        frame.enter_context(logged(**fields))

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        if frame := self._frames.pop(get_ident(), None):
            frame.__exit__(type(exception), exception, exception.__traceback__) if exception else frame.close()

    after_skip_message = after_process_message
