"""Sources and their channels."""

from __future__ import annotations

import pytest

from tests.visits.support import make_known_site
from webapp.visits.click_ids import CHANNEL_OF_CLICK_ID
from webapp.visits.counting.channels import CHANNELS, channel_of


@pytest.mark.parametrize(
    ("source", "channel"),
    [
        ({"referrer": ""}, "Direct"),
        ({"referrer": "google.co.uk"}, "Organic search"),
        ({"referrer": "news.google.com"}, "Organic search"),
        ({"referrer": "mail.google.com"}, "E-mail"),
        ({"referrer": "t.co"}, "Organic social"),
        ({"referrer": "t.example"}, "Referral"),
        ({"referrer": "x.com"}, "Organic social"),
        ({"referrer": "l.facebook.com"}, "Organic social"),
        ({"referrer": "youtube.com"}, "Organic video"),
        ({"referrer": "chatgpt.com"}, "AI assistants"),
        ({"referrer": "roasters-guild.example"}, "Referral"),
        ({"referrer": "google.com", "click_id": "gclid"}, "Paid search"),
        ({"referrer": "", "click_id": "msclkid"}, "Paid search"),
        ({"referrer": "facebook.com", "click_id": "fbclid"}, "Organic social"),
        ({"referrer": "", "utm_source": "google", "utm_medium": "cpc"}, "Paid search"),
        ({"referrer": "", "utm_source": "facebook", "utm_medium": "paid_social"}, "Paid social"),
        ({"referrer": "", "utm_source": "partner", "utm_medium": "cpc"}, "Paid other"),
        ({"referrer": "", "utm_source": "partner", "utm_medium": "cpm"}, "Display"),
        ({"referrer": "", "utm_source": "letter", "utm_medium": "Email"}, "E-mail"),
        ({"referrer": "", "utm_source": "newsletter"}, "E-mail"),
        ({"referrer": "", "utm_medium": "affiliate"}, "Affiliates"),
        ({"referrer": "", "utm_medium": "sms"}, "SMS"),
        ({"referrer": "", "utm_campaign": "autumn"}, "Unassigned"),
    ],
)
def test_a_source_falls_into_its_channel(source: dict[str, str], channel: str) -> None:
    assert channel_of(**source) == channel
    assert channel in CHANNELS


@pytest.mark.parametrize(("name", "channel"), CHANNEL_OF_CLICK_ID.items())
def test_every_click_id_that_is_taken_out_of_an_address_says_its_channel(name: str, channel: str) -> None:
    read = make_known_site(query_keys=("q",)).rules.read(f"https://shop.example/?q=1&{name.upper()}=secret")
    assert (read.page_url, read.click_id) == ("https://shop.example/?q=1", name)
    assert channel_of("", click_id=read.click_id) == (channel or "Direct")
    assert channel in {"", *CHANNELS}
