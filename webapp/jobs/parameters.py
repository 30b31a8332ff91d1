"""What a kind of job wants to know: declared once, read from forms and from JSON, masked where it is secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TEXT_LIMIT = 1_000
MASK = "••••"
SOUNDS_SECRET = re.compile(r"password|passphrase|secret|token|api_?key|credential", re.IGNORECASE)
TRUE_WORDS = frozenset({"1", "true", "on", "yes"})
FALSE_WORDS = frozenset({"0", "false", "off", "no", ""})


class ParametersError(Exception):
    """Some values cannot be used; `errors` says for each name why."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class Parameter:
    """One value: its type is `text`, `integer`, `boolean` or `choice` (of (value, label) pairs).

    `minimum` and `maximum` bound an integer, or the length of a text.
    """

    name: str
    label: str
    type: str = "text"
    is_required: bool = False
    default: Any = None
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    is_secret: bool = False


def read_parameters(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values, checked, of the right type and with defaults; raises ParametersError with all that is wrong."""
    known = {parameter.name for parameter in parameters}
    errors = {name: "There is no such parameter." for name in given if name not in known}
    values: dict[str, Any] = {}
    for parameter in parameters:
        try:
            values[parameter.name] = _read(parameter, given.get(parameter.name))
        except ValueError as error:
            errors[parameter.name] = str(error)
    if errors:
        raise ParametersError(errors)
    return values


def masked(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as people may see them: what is declared secret, or is called like a secret, is covered."""
    secret = {parameter.name for parameter in parameters if parameter.is_secret}
    return {name: _masked(name, value, name in secret) for name, value in values.items()}


def _masked(name: str, value: Any, is_secret: bool) -> Any:
    if value is not None and (is_secret or SOUNDS_SECRET.search(name)):
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked(str(key), inner, False) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked("", inner, False) for inner in value]
    return value


def _read(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and parameter.type != "boolean":
        value = value.strip() or None
    if value is None and parameter.type != "boolean":
        if parameter.is_required:
            raise ValueError("This is needed.")
        return parameter.default
    return READERS[parameter.type](parameter, value)


def _read_text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("This must be a text.")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("This holds a character that no text may hold.")
    longest = parameter.maximum or TEXT_LIMIT
    if len(value) > longest:
        raise ValueError(f"This may have up to {longest:,} characters.")
    if parameter.minimum and len(value) < parameter.minimum:
        raise ValueError(f"This needs at least {parameter.minimum:,} characters.")
    return value


def _read_integer(parameter: Parameter, value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("This must be a whole number.")
    if parameter.minimum is not None and value < parameter.minimum:
        raise ValueError(f"This must be at least {parameter.minimum:,}.")
    if parameter.maximum is not None and value > parameter.maximum:
        raise ValueError(f"This must be at most {parameter.maximum:,}.")
    return value


def _read_boolean(parameter: Parameter, value: Any) -> bool:
    if value is None:
        return bool(parameter.default)
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("This must be yes or no.")


def _read_choice(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str) or value not in {choice for choice, _ in parameter.choices}:
        raise ValueError(f"This must be one of: {', '.join(choice for choice, _ in parameter.choices)}.")
    return value


READERS = {"text": _read_text, "integer": _read_integer, "boolean": _read_boolean, "choice": _read_choice}
