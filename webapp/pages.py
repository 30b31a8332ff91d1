"""Deciding between a whole page and the part of it that htmx asked for; nobody else reads its headers."""

from __future__ import annotations

from flask import Response, current_app, make_response, render_template

from webapp.extensions import htmx


def render_page(template: str, *, block: str | None = None, status: int = 200, **context: object) -> Response:
    """The page, or only its `block` when htmx asked for a part.

    A fragment is a `{% block %}` of the page that owns it; the block's name is the element's id.
    """
    wants_block = block is not None and bool(htmx) and not htmx.boosted and not htmx.history_restore_request
    html = render_block(template, block, **context) if wants_block and block else render_template(template, **context)
    response = make_response(html, status)
    response.vary.add("HX-Request")
    return response


def render_block(template: str, block: str, **context: object) -> str:
    """One block of a template, rendered alone; raises KeyError when there is no such block."""
    current_app.update_template_context(context)
    loaded = current_app.jinja_env.get_template(template)
    return "".join(loaded.blocks[block](loaded.new_context(context)))
