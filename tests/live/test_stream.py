"""Event streams: the present state first, then the newest, and an end with the subject's."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.live.support import opened, run, say
from webapp.config import Settings
from webapp.lib.redis import broker_client
from webapp.live.channels import stream_url
from webapp.live.hub import Hub
from webapp.live.publish import publish


def test_the_first_event_is_the_present_state(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        say(settings, "room", 1)
        async with opened(settings, hub, stream_url(settings, "room")) as browser:
            await browser.until_seen("data: <p>1</p>\ndata: <i></i>\n\n")
            assert browser.status == 200

    run(look, services)


def test_a_page_is_told_at_once_and_now_and_then_that_its_stream_comes_through(
    services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.live.hub.KEEP_ALIVE_SECONDS", 0.05)

    async def look(settings: Settings, hub: Hub) -> None:
        page = opened(settings, hub, stream_url(settings, "room"))
        program = opened(settings, hub, stream_url(settings, "room", html=False))
        async with page as first, program as second:
            await asyncio.gather(
                first.until_seen("event: here\ndata: here\n\nevent: here\ndata: here\n\n"),
                second.until_seen(": still here\n\n"),
            )
            assert "event: here" not in second.text

    run(look, services)


def test_a_change_reaches_everyone_who_listens(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        say(settings, "room", 1)
        page = opened(settings, hub, stream_url(settings, "room"))
        program = opened(settings, hub, stream_url(settings, "room", html=False))
        async with page as first, program as second:
            await asyncio.gather(first.until_seen("<p>1</p>"), second.until_seen('{"number": 1}'))
            say(settings, "room", 2)
            await asyncio.gather(first.until_seen("<p>2</p>"), second.until_seen('{"number": 2}'))

    run(look, services)


def test_a_final_state_ends_the_stream_and_says_so(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        async with opened(settings, hub, stream_url(settings, "room")) as browser:
            await browser.until_seen("retry: ")
            say(settings, "room", 9, final=True)
            await browser.until(lambda b: b.ended)
            assert browser.text.endswith("event: done\ndata: done\n\n")

    run(look, services)


def test_who_comes_after_the_end_sees_the_end(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        say(settings, "room", 9, final=True)
        async with opened(settings, hub, stream_url(settings, "room")) as browser:
            await browser.until(lambda b: b.ended)
            assert "<p>9</p>" in browser.text

    run(look, services)


def test_channels_do_not_hear_each_other(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        async with (
            opened(settings, hub, stream_url(settings, "room")) as one,
            opened(settings, hub, stream_url(settings, "hall")) as other,
        ):
            say(settings, "room", 1)
            say(settings, "hall", 2)
            await asyncio.gather(one.until_seen("<p>1</p>"), other.until_seen("<p>2</p>"))
            assert "<p>2</p>" not in one.text
            assert "<p>1</p>" not in other.text

    run(look, services)


@pytest.mark.parametrize("address", ["/live/nonsense", "/live/"])
def test_a_damaged_address_is_refused_in_plain_words(services: Settings, address: str) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        async with opened(settings, hub, address) as browser:
            await browser.until(lambda b: b.ended)
            assert browser.status == 403
            assert "Load the page again" in browser.text

    run(look, services)


def test_a_channel_that_everybody_left_can_be_joined_again(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        for number in range(20):
            say(settings, "room", number)
            async with opened(settings, hub, stream_url(settings, "room")) as browser:
                await browser.until_seen(f"<p>{number}</p>")

    run(look, services)


def test_json_states_are_whole_json_documents(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        with broker_client(settings) as broker:
            publish(broker, "room", {"name": "Zoë\nAda"}, "")
        async with opened(settings, hub, stream_url(settings, "room", html=False)) as browser:
            await browser.until(lambda b: b.text.count("\n\n") == 2)
            line = browser.text.split("\n\n")[1].split("\n")[1]
            assert json.loads(line.removeprefix("data: ")) == {"name": "Zoë\nAda"}

    run(look, services)
