"""The script as it is served: small, in the language of 2017, of the present source, and under its two addresses."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser_support import new_page
from tests.tracker.support import ROOT, SITE_KEY
from webapp.config import ConfigError, Settings, settings_from
from webapp.edge import Edge
from webapp.visits.tracker_script import SOURCE, read_minified, tracker_script

SIZE_LIMIT_BYTES = 3_000
PARSE = "require('acorn').parse(require('fs').readFileSync(0, 'utf8'), {ecmaVersion: 2017})"


def settings_for(**environment: str) -> Settings:
    return settings_from({"SECRET_KEY": "of a test", **environment})


def asked(settings: Settings, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What the edge answers to a GET; it is not started, since the script needs nothing of what that starts."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        edge = Edge(settings)
        fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await edge._send_tracker({"type": "http", "method": "GET", "path": path, "headers": fields}, send)

    asyncio.run(run())
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, sent[1]["body"]


def node() -> str:
    """Set-up makes sure of it: the machine's, or the one in the virtual environment."""
    found = shutil.which("node", path=f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}")
    assert found is not None
    return found


def test_it_is_smaller_than_three_kilobytes_as_it_is_sent() -> None:
    _, headers, body = asked(settings_for(), "/tracker.js", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert len(body) < SIZE_LIMIT_BYTES


def test_what_is_served_was_made_of_the_present_source() -> None:
    assert read_minified(SOURCE.read_text(encoding="utf-8")) is not None, "tracker.js changed: run `make setup`"


def test_a_source_that_changed_after_set_up_is_served_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "tracker.js"
    changed.write_text(SOURCE.read_text() + "// changed\n")
    monkeypatch.setattr("webapp.visits.tracker_script.SOURCE", changed)
    script = tracker_script(settings_for(TRACKER_PATH="/changed.js"))
    assert b"// changed" in script.content


@pytest.mark.parametrize("text", [SOURCE.read_text(), tracker_script(settings_for()).content.decode()])
def test_it_is_written_in_ecmascript_2017(text: str) -> None:
    subprocess.run([node(), "-e", PARSE], input=text, text=True, cwd=ROOT, check=True)


@pytest.mark.parametrize("newer", ["a?.b", "a ?? b", "try {} catch {}", "({...a})", "/(?<=a)b/"])
def test_the_check_of_the_language_finds_what_is_newer(newer: str) -> None:
    outcome = subprocess.run([node(), "-e", PARSE], input=newer, text=True, cwd=ROOT, capture_output=True)
    assert "SyntaxError" in outcome.stderr


def test_the_address_of_these_very_bytes_is_kept_for_a_year_and_the_short_one_for_an_hour() -> None:
    script = tracker_script(settings_for())
    status, headers, body = asked(settings_for(), script.versioned_path)
    assert (status, headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert body == script.content
    _, headers, _ = asked(settings_for(), "/tracker.js")
    assert headers["cache-control"] == "public, max-age=3600"
    assert headers["vary"] == "accept-encoding"


def test_an_earlier_versions_address_gets_the_newest_script_for_a_while() -> None:
    script = tracker_script(settings_for())
    assert script.is_at("/tracker.0123456789ab.js")
    assert not script.is_at("/tracker.0123456789abc.js")
    assert not script.is_at("/tracker.other.js")
    _, headers, body = asked(settings_for(), "/tracker.0123456789ab.js")
    assert (headers["cache-control"], body) == ("public, max-age=3600", script.content)


def test_what_a_browser_has_is_not_sent_again() -> None:
    _, headers, body = asked(settings_for(), "/tracker.js", accept_encoding="gzip")
    assert gzip.decompress(body) == tracker_script(settings_for()).content
    again = asked(settings_for(), "/tracker.js", accept_encoding="gzip", if_none_match=f'W/"x", {headers["etag"]}')
    assert (again[0], again[2]) == (304, b"")
    other = asked(settings_for(), "/tracker.js", if_none_match=headers["etag"])
    assert other[0] == 200


@pytest.mark.parametrize(
    ("tracker", "collect", "endpoint"),
    [
        ("/tracker.js", "/collect", "/collect"),
        ("/stats/app.js", "/stats/in", "/stats/in"),
        ("/a/b/c.js", "/in", "/in"),
        ("/c", "/deep/in", "/deep/in"),
    ],
)
def test_a_renamed_script_finds_its_way_from_its_own_address(
    browser: Browser, tracker: str, collect: str, endpoint: str
) -> None:
    script = tracker_script(settings_for(TRACKER_PATH=tracker, COLLECT_PATH=collect))
    with new_page(browser) as watched:
        posted: list[str] = []
        watched.page.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        watched.page.route(
            f"**{script.versioned_path}",
            lambda route: route.fulfill(body=script.content, content_type="text/javascript"),
        )
        watched.page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        watched.page.goto("http://proxied.example/")
        with watched.page.expect_request(lambda request: request.method == "POST"):
            watched.page.evaluate(
                """([src, key]) => {
                    const script = document.createElement('script')
                    Object.assign(script, {src}).dataset.siteKey = key
                    document.head.append(script)
                }""",
                [f"http://proxied.example/first/party{script.versioned_path}", SITE_KEY],
            )
    assert posted == [f"http://proxied.example/first/party{endpoint}"]


@pytest.mark.parametrize("path", ["tracker.js", "/a b.js", "/../x", "/a?b", "/live/x", "/healthz", "/"])
def test_a_path_that_cannot_be_is_refused_with_its_setting(path: str) -> None:
    with pytest.raises(ConfigError, match="TRACKER_PATH"):
        settings_for(TRACKER_PATH=path)


def test_two_things_cannot_be_at_one_path() -> None:
    with pytest.raises(ConfigError, match="COLLECT_PATH"):
        settings_for(TRACKER_PATH="/x", COLLECT_PATH="/x")


def test_the_integrity_is_that_of_the_bytes() -> None:
    script = tracker_script(settings_for())
    check = (
        "const hash = require('crypto').createHash('sha384').update(require('fs').readFileSync(0)).digest('base64');"
        "console.log(JSON.stringify('sha384-' + hash))"
    )
    outcome = subprocess.run([node(), "-e", check], input=script.content, capture_output=True, check=True)
    assert json.loads(outcome.stdout) == script.integrity
