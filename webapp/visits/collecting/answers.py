"""The collector's answers in ASGI. A refusal, too, must be readable for the tracker on another origin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from webapp.lib.problem import CONTENT_TYPE, problem_body
from webapp.visits.collecting.batches import Batch
from webapp.visits.collecting.refusals import BODY_LIMIT_BYTES, DroppedError, RefusedError, TooLargeError

DRAIN_LIMIT_BYTES = 8 * 1024 * 1024

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CORS_HEADERS: Headers = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
PREFLIGHT_HEADERS: Headers = [
    *CORS_HEADERS,
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, *"),
    (b"access-control-max-age", b"86400"),
]
ACCEPTED = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0"), *CORS_HEADERS]}
EMPTY = {"type": "http.response.body", "body": b""}
TITLES = {
    400: "Malformed beacon",
    403: "Beacon refused",
    405: "Method not allowed",
    413: "Beacon too large",
    422: "Invalid beacon",
    429: "Too many beacons",
    503: "Try again later",
}


async def answer_other_method(method: str, send: Send) -> None:
    """A preflight is allowed; nothing else is."""
    if method == "OPTIONS":
        await send({"type": "http.response.start", "status": 204, "headers": PREFLIGHT_HEADERS})
        await send(EMPTY)
        return
    await refuse(RefusedError(405, "wrong-method", "Beacons are posted."), send)


async def accept(send: Send) -> None:
    """Redis has it."""
    await send(ACCEPTED)
    await send(EMPTY)


async def drop(outcome: DroppedError, send: Send) -> None:
    """It is not counted, as the site wants it, and must not be sent again."""
    headers = [(b"content-length", b"0"), (b"x-footfall-dropped", outcome.reason.encode()), *CORS_HEADERS]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send(EMPTY)


async def tell(batch: Batch, send: Send) -> None:
    """What became of each beacon of a list; where none was taken, the list as a whole is refused."""
    if (refusal := batch.refusal()) is not None:
        await refuse(refusal, send, refused=batch.refused)
        return
    body = msgspec.json.encode(batch.answer())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *CORS_HEADERS]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(refusal: RefusedError, send: Send, **extensions: object) -> None:
    """Why not, for programs and for people."""
    body = problem_body(refusal.status, TITLES[refusal.status], refusal.detail, reason=refusal.reason, **extensions)
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-footfall-dropped", refusal.reason.encode()),
        *CORS_HEADERS,
    ]
    if refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    if refusal.status == 405:
        headers.append((b"allow", b"POST, OPTIONS"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive, limit: int = BODY_LIMIT_BYTES) -> bytes:
    """The body; a little of what is too large is read and forgotten, so that the client hears the refusal."""
    message = await receive()
    if not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise TooLargeError(body)
        return body
    return await _read_parts(receive, message, limit)


async def _read_parts(receive: Receive, message: dict[str, Any], limit: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    while True:
        part: bytes = message.get("body", b"")
        length += len(part)
        if length <= limit:
            parts.append(part)
        if not message.get("more_body") or length > DRAIN_LIMIT_BYTES:
            break
        message = await receive()
    if length > limit:
        raise TooLargeError(b"".join(parts[:2]))
    return b"".join(parts)
