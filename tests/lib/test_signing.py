"""Signed texts are good for one purpose, for a while, unchanged."""

from __future__ import annotations

import pytest
from itsdangerous import TimestampSigner

from webapp.lib.signing import BadSignatureError, sign, unsign


def test_what_was_signed_is_read_again() -> None:
    assert unsign("secret", "door", sign("secret", "door", "room 5"), 60) == "room 5"


@pytest.mark.parametrize(("secret", "purpose"), [("other", "door"), ("secret", "window")])
def test_another_secret_or_purpose_is_refused(secret: str, purpose: str) -> None:
    text = sign("secret", "door", "room 5")
    with pytest.raises(BadSignatureError):
        unsign(secret, purpose, text, 60)


def test_a_changed_text_is_refused() -> None:
    text = sign("secret", "door", "room 5")
    with pytest.raises(BadSignatureError):
        unsign("secret", "door", "A" + text[1:], 60)


def test_an_old_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sign("secret", "door", "room 5")
    later = TimestampSigner("x").get_timestamp() + 61
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: later)
    with pytest.raises(BadSignatureError):
        unsign("secret", "door", text, 60)
