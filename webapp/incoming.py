"""What every request is held to before a view makes something of it."""

from __future__ import annotations

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.utils import cached_property

from webapp.problems import Problem

MAX_BODY_BYTES = 8 * 1024 * 1024
"""The largest body where a view names no other bound, as uploads do."""


class IncomingRequest(Request):
    """A request whose texts PostgreSQL can hold: it has no U+0000, which only programs send."""

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The address's parameters."""
        args = super().args
        _refuse_nul(args)
        return args

    def _load_form_data(self) -> None:
        super()._load_form_data()
        _refuse_nul(self.form)


def _refuse_nul(fields: MultiDict[str, str]) -> None:
    if any("\x00" in text for _, text in fields.items(multi=True)):
        raise Problem(400, "A character that no text may hold", "Leave out the NUL character (U+0000), then try again.")
