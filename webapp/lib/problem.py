"""Problem details (RFC 9457): the one shape of every error that a program reads."""

from __future__ import annotations

import json
import re
from http import HTTPStatus

CONTENT_TYPE = "application/problem+json"
UNSPECIFIC = "about:blank"


def problem_body(status: int, title: str, detail: str, **extensions: object) -> bytes:
    """The JSON of one problem; extensions become members beside the standard four."""
    problem = {"type": problem_type(status, title), "title": title, "status": status, "detail": detail}
    text = json.dumps({**problem, **extensions}, ensure_ascii=False, default=str)
    return text.encode(errors="replace")  # a detail may quote half of a pair of surrogates out of a request


def problem_type(status: int, title: str) -> str:
    """A stable name of the kind of problem; a bare HTTP status needs none of its own."""
    if title == HTTPStatus(status).phrase:
        return UNSPECIFIC
    return "urn:footfall:problem:" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
