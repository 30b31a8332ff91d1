"""Into which channel a source of visits falls. Pure functions.

The groups follow those of Google Analytics 4 ("Default channel group"), as marketing knows them; the lists are
short: names of the search engines, networks, shops and mail services that most visits come from, by the host's
last name but one ("google" stands for google.com, google.co.uk and news.google.com).
"""

from __future__ import annotations

import re

from webapp.visits.click_ids import CHANNEL_OF_CLICK_ID

DIRECT, REFERRAL, UNASSIGNED = "Direct", "Referral", "Unassigned"
SEARCH, SOCIAL, VIDEO, SHOPPING = "search", "social", "video", "shopping"
MAIL = "E-mail"
CHANNELS = (
    DIRECT, "Organic search", "Paid search", "Organic social", "Paid social", "Organic video", "Paid video",
    "Organic shopping", "Paid shopping", MAIL, "Affiliates", REFERRAL, "Display", "Audio", "SMS",
    "Push notifications", "Paid other", "AI assistants", UNASSIGNED,
)  # fmt: skip

AI = "AI assistants"
_NAMES = {
    SEARCH: "google bing yahoo duckduckgo ecosia qwant startpage yandex baidu naver seznam sogou brave kagi ask aol "
    "dogpile daum so presearch swisscows mojeek metager",
    SOCIAL: "facebook fb instagram twitter x t linkedin lnkd pinterest reddit tiktok threads snapchat tumblr vk weibo "
    "mastodon bsky ycombinator quora whatsapp telegram discord xing messenger wechat line nextdoor meetup",
    VIDEO: "youtube youtu vimeo twitch dailymotion netflix hulu bilibili",
    SHOPPING: "amazon ebay etsy walmart alibaba aliexpress shopify idealo zalando rakuten mercadolibre",
    AI: "chatgpt openai perplexity claude anthropic copilot gemini deepseek mistral",
}
# Hosts whose name alone would say something else.
_HOSTS = {
    "gemini.google.com": AI,
    "copilot.microsoft.com": AI,
    "mail.google.com": MAIL,
    "mail.yahoo.com": MAIL,
    "outlook.live.com": MAIL,
    "shopping.google.com": SHOPPING,
    "t.me": SOCIAL,
    "search.brave.com": SEARCH,
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_SHORT_NAMES = {"x": "x.com", "t": "t.co", "fb": "fb.com", "so": "so.com", "ask": "ask.com", "line": "line.me"}
"""Names too short to trust without their ending."""
_SECOND_LEVEL = {"co", "com", "org", "net", "ac", "gov", "edu"}
_PAID = re.compile(r"(.*cp.*|ppc|retargeting|paid.*)", re.IGNORECASE)
_DISPLAY = {"display", "banner", "expandable", "interstitial", "cpm"}
_MAIL_WORDS = {"email", "e-mail", "e_mail", "e mail", "newsletter"}
_BY_MEDIUM = {
    **dict.fromkeys(_DISPLAY, "Display"),
    **dict.fromkeys(_MAIL_WORDS, MAIL),
    **dict.fromkeys(("affiliate", "affiliates"), "Affiliates"),
    **dict.fromkeys(("social", "social-network", "social-media", "sm", "social network", "social media"),
                    "Organic social"),
    **dict.fromkeys(("referral", "app", "link"), REFERRAL),
    **dict.fromkeys(("push", "mobile", "notification"), "Push notifications"),
    **dict.fromkeys(("sms",), "SMS"),
    **dict.fromkeys(("audio",), "Audio"),
    **dict.fromkeys(("organic",), "Organic search"),
    **dict.fromkeys(("video",), "Organic video"),
}  # fmt: skip


def channel_of(
    referrer: str, utm_source: str = "", utm_medium: str = "", utm_campaign: str = "", click_id: str = ""
) -> str:
    """The channel of a referrer's host, campaign parameters and the name of a click id; '' is none of them."""
    source, medium = utm_source.strip().lower(), utm_medium.strip().lower()
    kind = kind_of(source) or kind_of(referrer)
    if _PAID.fullmatch(medium) and medium not in _DISPLAY:
        return f"Paid {kind}" if kind in {SEARCH, SOCIAL, VIDEO, SHOPPING} else "Paid other"
    if medium in _BY_MEDIUM:
        return _BY_MEDIUM[medium]
    if paid := CHANNEL_OF_CLICK_ID.get(click_id):
        return paid
    if source in _MAIL_WORDS:
        return MAIL
    return _unpaid(referrer, kind, has_campaign=bool(source or medium or utm_campaign))


def _unpaid(referrer: str, kind: str, *, has_campaign: bool) -> str:
    if kind in {AI, MAIL}:
        return kind
    if kind:
        return f"Organic {kind}"
    if has_campaign:
        return UNASSIGNED
    return REFERRAL if referrer else DIRECT


def kind_of(host: str) -> str:
    """What kind of website a host, or a campaign's source, is; '' for any other."""
    if host in _HOSTS:
        return _HOSTS[host]
    parts = host.split(".")
    if len(parts) > 2 and parts[-2] in _SECOND_LEVEL:
        parts.pop(-2)
    name = parts[-2] if len(parts) > 1 else host
    if name in _SHORT_NAMES and host not in {name, _SHORT_NAMES[name]}:
        return ""
    return _KINDS.get(name, "")
