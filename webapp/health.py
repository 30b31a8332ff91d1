"""Whether this process serves: asked by `footfall up`, proxies and people's monitors."""

from __future__ import annotations

from flask import Flask


def init_app(app: Flask) -> None:
    """Register `GET /healthz`, which asks nobody else: a slow database is no reason to restart the pages."""
    app.add_url_rule("/healthz", "healthz", healthz)


def healthz() -> tuple[str, dict[str, str]]:
    return "ok\n", {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
