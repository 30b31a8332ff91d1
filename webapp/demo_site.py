"""The demo website: a small shop's static pages on an origin of their own, with the tracker embedded.

Served apart from Footfall so that its beacons are really cross-origin, as a customer's would be.
"""

from __future__ import annotations

import html
import os
import signal
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from webapp.config import Settings, get_settings
from webapp.process import begin_process
from webapp.visits.collecting.signatures import sign
from webapp.visits.tracker_script import tracker_script

FOLDER = Path(__file__).resolve().parent.parent / "tracker" / "demo"
SITE_KEY_FILE = "demo_site_key"
SECRET_FILE = "demo_site_secret"  # noqa: S105 - a file's name
FORM_LIMIT = 10_000
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def demo_site_key(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """The demo site's key: from DEMO_SITE_KEY, else as the demo seed left it; empty before that."""
    given = environment.get("DEMO_SITE_KEY")
    if given:
        return given
    path = settings.data_dir / SITE_KEY_FILE
    return path.read_text().strip() if path.exists() else ""


def demo_secret(settings: Settings) -> str:
    """What the shop signs identities with, as the demo seed left it; empty before that."""
    path = settings.data_dir / SECRET_FILE
    return path.read_text().strip() if path.exists() else ""


def demo_paths(folder: Path = FOLDER) -> dict[str, Path]:
    """Every address that the demo website knows, `/pricing` as well as `/pricing.html`."""
    paths = {f"/{file.name}": file for file in folder.iterdir() if file.suffix in CONTENT_TYPES}
    pages = {f"/{file.stem}": file for file in paths.values() if file.suffix == ".html"}
    return {**paths, **pages, "/": folder / "index.html"}


def demo_server(settings: Settings, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """A server that is bound and not yet serving."""
    paths = demo_paths()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An idle browser connection must not hold a thread for ever.
        timeout = 30

        def do_GET(self) -> None:
            file = paths.get(self.path.partition("?")[0])
            status = HTTPStatus.NOT_FOUND if file is None else HTTPStatus.OK
            file = file or FOLDER / "404.html"
            # Read at each request: the demo seed may write the key while we are already serving.
            self._answer(status, CONTENT_TYPES[file.suffix], _filled_in(file, settings))

        def do_POST(self) -> None:
            """Sign in, with whatever address is given: the shop's own page then tells who this is."""
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/account" or length > FORM_LIMIT:
                self.close_connection = True
                self._answer(HTTPStatus.NOT_FOUND, CONTENT_TYPES[".html"], _filled_in(FOLDER / "404.html", settings))
                return
            email = dict(parse_qsl(self.rfile.read(length).decode("utf-8", "replace"))).get("email", "").strip()
            self._answer(HTTPStatus.OK, CONTENT_TYPES[".html"], _filled_in(FOLDER / "account.html", settings, email))

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def _answer(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Stay quiet: the demo's requests are of interest to nobody."""

    return ThreadingHTTPServer((host, port), Handler)


def serve(settings: Settings, port: int) -> None:
    """Serve the demo website until interrupted."""
    with demo_server(settings, port) as server:
        server.serve_forever()


def main() -> None:
    """`python -m webapp.demo_site`: serve on DEMO_PORT; SIGTERM and Ctrl-C end it cleanly."""
    begin_process("demo-site")
    settings = get_settings()
    for number in (signal.SIGTERM, signal.SIGINT):  # the latter is ignored by what a shell started in the background
        signal.signal(number, lambda *_: sys.exit(0))
    serve(settings, settings.demo_port)


def _filled_in(file: Path, settings: Settings, identity: str = "") -> bytes:
    """A file as it is served; `identity` is who signed in."""
    if file.suffix != ".html":
        return file.read_bytes()
    page = file.read_text(encoding="utf-8")
    values = {
        "SITE_KEY": demo_site_key(settings),
        "TRACKER_URL": settings.edge_url + tracker_script(settings).versioned_path,
        "PIXEL_URL": settings.edge_url + settings.pixel_path,
        "IDENTITY": identity,
        "SIGNATURE": sign(demo_secret(settings), identity.encode()) if identity else "",
    }
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", html.escape(value))
    return page.encode()


if __name__ == "__main__":
    main()
