"""Signals for operators: each request in the logs, the metrics and the traces, and `/metrics` itself."""

from __future__ import annotations

from flask import Flask

from webapp.signals import requests, scrape


def init_app(app: Flask) -> None:
    """Frame every request. Registered before any other feature, so that its frame holds them all."""
    requests.init_app(app)
    scrape.init_app(app)
