"""The fields that a report on a datagram is made of (docs/decode.md)."""

from datetime import datetime

from msgspec import Struct

Value = str | int | bool | list[str] | list[int] | None


class Field(Struct, frozen=True):
    """One field: its name for people, its key and value for programs.

    A field without `text` is for programs alone.
    """

    key: str
    value: Value
    name: str = ""
    text: str = ""
    good: bool | None = None


def moment(at: datetime) -> str:
    """Write a moment to the microsecond."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")
