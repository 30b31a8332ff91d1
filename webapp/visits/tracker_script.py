"""tracker.js as it is served: made small at set-up, told where its beacons go, and named by its content."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from webapp.config import Settings

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tracker" / "tracker.js"
MINIFIED = ROOT / "static" / "vendor" / "tracker.min.js"
COLLECT = re.compile(r"""(["'])collect\1""")
"""Where the script says that beacons go, beside itself; the served script says it as this installation is set."""
DIGEST_LENGTH = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackerScript:
    """The script and its two addresses: one that always gives the newest, and one of these very bytes."""

    content: bytes
    gzipped: bytes
    path: str
    versioned_path: str
    integrity: str

    def is_at(self, path: str) -> bool:
        """Whether this is one of its addresses: an earlier version's gets the newest, so that old pages still count."""
        if path in {self.path, self.versioned_path}:
            return True
        stem, extension = posixpath.splitext(self.path)
        return bool(re.fullmatch(rf"{re.escape(stem)}\.[0-9a-f]{{{DIGEST_LENGTH}}}{re.escape(extension)}", path))

    def tag(self, *, gzipped: bool) -> bytes:
        """Its ETag in one of its two forms."""
        return f'"{self.integrity[-16:]}{"-gzip" if gzipped else ""}"'.encode()


def tracker_script(settings: Settings) -> TrackerScript:
    """The script that this installation serves."""
    return _make(settings.tracker_path, settings.collect_path)


@cache
def _make(tracker_path: str, collect_path: str) -> TrackerScript:
    endpoint = posixpath.relpath(collect_path, posixpath.dirname(tracker_path))
    text, places = COLLECT.subn(lambda _: json.dumps(endpoint), _smallest_text())
    if places != 1:
        raise ValueError(f"tracker.js must say 'collect' once, but it says it {places} times.")
    content = text.encode()
    stem, extension = posixpath.splitext(tracker_path)
    return TrackerScript(
        content=content,
        gzipped=gzip.compress(content, 9, mtime=0),
        path=tracker_path,
        versioned_path=f"{stem}.{hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]}{extension}",
        integrity=f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}",
    )


def _smallest_text() -> str:
    """The minified script if it was made of the present source, which is served otherwise: larger, and never old."""
    source = SOURCE.read_text(encoding="utf-8")
    minified = read_minified(source)
    if minified is None:
        logger.warning("tracker.js is served as it was written, since it changed after set-up: run `make setup`.")
    return minified or source


def read_minified(source: str) -> str | None:
    """What set-up made of this source; its first line says of which."""
    if not MINIFIED.exists():
        return None
    first_line, _, text = MINIFIED.read_text(encoding="utf-8").partition("\n")
    return text if first_line == f"// {hashlib.sha256(source.encode()).hexdigest()}" else None
