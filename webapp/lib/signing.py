"""Short-lived signed texts, for what a browser carries between two of our processes."""

from __future__ import annotations

from itsdangerous import BadSignature, URLSafeTimedSerializer


class BadSignatureError(Exception):
    """The text was changed, made for another purpose, or is too old."""


def sign(secret: str, purpose: str, value: str) -> str:
    """A URL-safe text that carries `value`, good for one purpose."""
    return URLSafeTimedSerializer(secret, salt=purpose).dumps(value)


def unsign(secret: str, purpose: str, text: str, max_age_seconds: int) -> str:
    """The value signed by `sign`; raises BadSignatureError."""
    try:
        value = URLSafeTimedSerializer(secret, salt=purpose).loads(text, max_age=max_age_seconds)
    except BadSignature as error:
        raise BadSignatureError(str(error)) from error
    if not isinstance(value, str):
        raise BadSignatureError("The signed value is not a text.")
    return value
