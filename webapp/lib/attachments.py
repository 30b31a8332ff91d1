"""The header with which a response is saved as a file."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from werkzeug.http import dump_options_header

UNQUOTED = "!#$&+-.^_`|~"
"""What besides letters and digits needs no escape in an extended parameter of a header (RFC 8187)."""


def as_attachment(name: str) -> str:
    """The header that saves a response under this name: in ASCII for old clients, and as it is (RFC 6266)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return dump_options_header("attachment", {"filename": plain, "filename*": f"UTF-8''{quote(name, safe=UNQUOTED)}"})
