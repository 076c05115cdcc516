"""The fields that a report on a datagram is made of (docs/decode.md)."""

from datetime import datetime
from typing import Final

from msgspec import Struct

Value = str | int | bool | list[str] | list[int] | None

_TUNNEL_NAMES: Final = {4: "IPv4", 41: "IPv6", 47: "GRE", 55: "minimal encapsulation"}


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


def tunnel_name(protocol: int) -> str:
    """Say what is in a UDP tunnel (RFC 3519 3.1.4, RFC 5454 4.2)."""
    return _TUNNEL_NAMES.get(protocol, "not for tunnels")
