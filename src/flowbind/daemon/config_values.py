"""The values of a configuration: each function takes what TOML gave and returns what it means.

All raise ValueError with what was expected and what was found. Whatever may be a key is never part
of that text.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final, TypeVar, cast

from flowbind.model.match import MatchError, compile_match
from flowbind.model.tunnel import MAX_PREFIXES, MAX_WEIGHT
from flowbind.store import StoreError, check_store_url
from flowbind.wire.iana import AccessTechnology
from flowbind.wire.traffic_selector import TrafficSelector

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

ACCESS_NAMES: Final[dict[str, AccessTechnology]] = {
    "virtual": AccessTechnology.VIRTUAL,
    "ppp": AccessTechnology.PPP,
    "ethernet": AccessTechnology.ETHERNET,
    "wlan": AccessTechnology.WLAN,
    "wimax": AccessTechnology.WIMAX,
    "geran": AccessTechnology.GERAN,
    "utran": AccessTechnology.UTRAN,
    "lte": AccessTechnology.LTE,
    "ehrpd": AccessTechnology.EHRPD,
    "hrpd": AccessTechnology.HRPD,
    "cdma": AccessTechnology.CDMA_1XRTT,
    "umb": AccessTechnology.UMB,
    "nb-iot": AccessTechnology.NB_IOT,
}
HIGHEST_LABEL: Final = 255

_KINDS: Final[dict[type, str]] = {
    dict: "a table",
    date: "a date",
    time: "a time",
}
_LONGEST_SHOWN: Final = 60
_LARGEST_SHOWN: Final = 1 << 64
_LONGEST_WORD: Final = 64
_LONGEST_MATCH: Final = 1000
_LONGEST_DEVICE_OCTETS: Final = 15
_LONGEST_EXTENSION_OCTETS: Final = 255
_LONGEST_SOCKET_OCTETS: Final = 107
_OCTET: Final = 0xFF
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)", re.ASCII)
_NETWORK: Final = re.compile(r"[0-9.]+/[0-9]{1,2}", re.ASCII)
_IPV6_PREFIX: Final = re.compile(r"[0-9a-f:.]+/[0-9]{1,3}", re.ASCII | re.IGNORECASE)
_KEY: Final = re.compile(r"(?:[0-9a-f]{2}){1,256}", re.ASCII | re.IGNORECASE)
_LIKE_A_KEY: Final = re.compile(r"(?:0x)?[0-9a-f :]{16,}", re.ASCII | re.IGNORECASE)


def access_name(number: int) -> str:
    """Return the name of an access technology (RFC 5213 8.5), or its number if it has none."""
    return next((name for name, known in ACCESS_NAMES.items() if known == number), str(number))


def printable(text: str) -> str:
    """Write what would end a line or change a terminal as an escape sequence."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def as_table(value: object) -> dict[str, object] | None:
    """Return a TOML table; None for anything else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def as_array(value: object) -> list[object] | None:
    """Return a TOML array; None for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else None


def shown(value: object) -> str:
    """Show a value as TOML writes it, or say of what kind it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "..."}"'
    if isinstance(value, int) and abs(value) >= _LARGEST_SHOWN:
        return "a very large number"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "an array" if value else "an empty array"
    return next((noun for kind, noun in _KINDS.items() if isinstance(value, kind)), "nothing")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the words to add to a complaint about an unknown word, empty if nothing is like it."""
    found = get_close_matches(word[:_LONGEST_WORD], known, 1)
    return f' (did you mean "{found[0]}"?)' if found else ""


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"expected {what}, found {shown(value)}")


def _string(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _expected(what, value)
    return value


def switch(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def name(value: object) -> str:
    """Read the name of a rule."""
    text = _string(value, "a name")
    if len(text) > _LONGEST_WORD:
        raise ValueError(f"expected a name of at most {_LONGEST_WORD} characters")
    return text


def number(lowest: int, highest: int) -> Callable[[object], int]:
    """Make the reader of a whole number."""

    def read(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise _expected(f"a number from {lowest} to {highest}", value)
        return value

    return read


def number_or(single: int, lowest: int, highest: int) -> Callable[[object], int]:
    """Make the reader of a whole number of a range, or the one that stands apart."""

    def read(value: object) -> int:
        if type(value) is not int or (value != single and not lowest <= value <= highest):
            raise _expected(f"{single}, or a number from {lowest} to {highest}", value)
        return value

    return read


def one_of(*words: str) -> Callable[[object], str]:
    """Make the reader of one of these words."""
    listed = " or ".join(f'"{word}"' for word in words)

    def read(value: object) -> str:
        if value not in words:
            hint = suggestion(value, words) if isinstance(value, str) else ""
            raise ValueError(f"expected {listed}, found {shown(value)}{hint}")
        return str(value)

    return read


def member_of(kind: type[E]) -> Callable[[object], E]:
    """Make the reader of an enumeration's values."""
    word = one_of(*(each.value for each in kind))
    return lambda value: kind(word(value))


def list_of(read: Callable[[object], T], noun: str) -> Callable[[object], tuple[T, ...]]:
    """Make the reader of an array with something in it, and nothing twice."""

    def read_list(value: object) -> tuple[T, ...]:
        elements = as_array(value)
        if not elements:
            raise _expected(f"an array of {noun}", value)
        found: list[T] = []
        for element in elements:
            item = read(element)
            if item in found:
                raise ValueError(f"{shown(element)} is there twice")
            found.append(item)
        return tuple(found)

    return read_list


def duration(lowest: str, highest: str) -> Callable[[object], float]:
    """Make the reader of a duration, in seconds."""
    least, most = _milliseconds(lowest), _milliseconds(highest)

    def read(value: object) -> float:
        milliseconds = _milliseconds(value)
        if milliseconds is None:
            raise _expected('a duration such as "500ms", "30s", "10m" or "2h"', value)
        if least is None or most is None or not least <= milliseconds <= most:
            raise _expected(f"a duration from {lowest} to {highest}", value)
        return milliseconds / _MILLISECONDS["s"]

    return read


def whole_seconds(lowest: str, highest: str) -> Callable[[object], int]:
    """Make the reader of a duration that the protocol counts in seconds."""
    read = duration(lowest, highest)

    def read_whole(value: object) -> int:
        seconds = read(value)
        if seconds != int(seconds):
            raise _expected("whole seconds", value)
        return int(seconds)

    return read_whole


def _milliseconds(value: object) -> int | None:
    if type(value) is int:
        return value * _MILLISECONDS["s"]
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * _MILLISECONDS[found[2]] if found else None


def address(value: object) -> IPv4Address:
    """Read the IPv4 address of a host."""
    try:
        found = IPv4Address(_string(value, "an IPv4 address"))
    except ValueError:
        raise _expected("an IPv4 address", value) from None
    if found.is_multicast or found.is_loopback or found.is_reserved or found.packed[0] == 0:
        raise ValueError(f"{found} is not the address of a host")
    return found


def network(value: object) -> IPv4Network:
    """Read an IPv4 prefix."""
    text = _string(value, "an IPv4 prefix such as 10.9.0.0/24")
    try:
        found = IPv4Network(text if _NETWORK.fullmatch(text) else "", strict=False)
    except ValueError:
        raise _expected("an IPv4 prefix such as 10.9.0.0/24", value) from None
    if str(found) != text:
        raise ValueError(f'"{text}" has host bits set (did you mean "{found}"?)')
    if found.prefixlen == 0:
        raise ValueError(f'"{text}" is every address')
    return found


def networks(value: object) -> tuple[IPv4Network, ...]:
    """Read prefixes of which none contains another."""
    found = list_of(network, "IPv4 prefixes")(value)
    for index, this in enumerate(found):
        for other in found[:index]:
            if this.overlaps(other):
                raise ValueError(f"{this} and {other} overlap")
    return found


def pool(value: object) -> tuple[IPv4Network, ...]:
    """Read one prefix, or several of which none contains another."""
    return (network(value),) if isinstance(value, str) else networks(value)


def ipv6_prefix(value: object) -> IPv6Network:
    """Read a prefix of addresses that a mobile node may have."""
    what = "an IPv6 prefix such as 2001:db8:1::/64"
    text = _string(value, what)
    try:
        found = IPv6Network(text if _IPV6_PREFIX.fullmatch(text) else "", strict=False)
    except ValueError:
        raise _expected(what, value) from None
    if found.network_address != IPv6Address(text.partition("/")[0]):
        raise ValueError(f'"{text}" has host bits set (did you mean "{found}"?)')
    first = found.network_address
    if first.is_link_local or first.is_multicast or first.is_loopback or first.is_unspecified:
        raise ValueError(f'"{text}" has no addresses that a node could have everywhere')
    return found


def ipv6_prefixes(value: object) -> tuple[IPv6Network, ...]:
    """Read the prefixes of one node, of which none contains another."""
    found = list_of(ipv6_prefix, "IPv6 prefixes")(value)
    if len(found) > MAX_PREFIXES:
        raise ValueError(f"expected at most {MAX_PREFIXES} IPv6 prefixes, found {len(found)}")
    for this, other in itertools.combinations(found, 2):
        if this.overlaps(other):
            raise ValueError(f"{this} and {other} overlap")
    return found


def nai(value: object) -> str:
    """Read a network access identifier: a name, and behind an @ the realm that knows it."""
    text = _string(value, "an NAI such as node5@fleet.example")
    user, at, realm = text.partition("@")
    if not user or (at and not realm) or "@" in realm or any(each.isspace() for each in text):
        raise _expected("an NAI such as node5@fleet.example", value)
    if len(text.encode()) > _LONGEST_EXTENSION_OCTETS:
        raise ValueError(f"an NAI has at most {_LONGEST_EXTENSION_OCTETS} octets")
    return text


def service(value: object) -> str:
    """Read the identifier of a service (RFC 5446 3)."""
    text = _string(value, "the name of a service")
    if unicodedata.normalize("NFKC", text) != text:
        raise _expected("the name of a service in Unicode's form NFKC", value)
    if len(text.encode()) > _LONGEST_EXTENSION_OCTETS:
        raise ValueError(f"the name of a service has at most {_LONGEST_EXTENSION_OCTETS} octets")
    return text


def device(value: object) -> str:
    """Read a name that the kernel takes for a network device."""
    text = _string(value, "the name of a network device")
    # As dev_valid_name(); a % would make the kernel choose a number.
    if text in {".", ".."} or any(each in "/:%" or each.isspace() for each in text):
        raise _expected("the name of a network device", value)
    if len(text.encode()) > _LONGEST_DEVICE_OCTETS:
        raise ValueError(f"{shown(text)} is longer than {_LONGEST_DEVICE_OCTETS} octets")
    return text


def absolute_path(value: object) -> str:
    """Read a path that means the same wherever the daemon is started."""
    text = _string(value, "an absolute path")
    if not Path(text).is_absolute():
        raise _expected("an absolute path", value)
    return text


def socket_path(value: object) -> str:
    """Read the path of a Unix socket."""
    text = absolute_path(value)
    if len(text.encode()) > _LONGEST_SOCKET_OCTETS:
        raise ValueError(f"a socket's path has at most {_LONGEST_SOCKET_OCTETS} octets")
    return text


def file_path(value: object) -> str:
    """Read the path of a key file, and notice a key where the path should be."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("expected the path of a file")
    if _LIKE_A_KEY.fullmatch(value):
        raise ValueError("this looks like a key, not like a path: give it as `key`")
    return value


def store_url(value: object) -> str:
    """Read where bindings are kept."""
    text = _string(value, "sqlite:///path or memory:")
    try:
        check_store_url(text)
    except StoreError as error:
        raise ValueError(str(error)) from None
    return text


def tables(header: str) -> Callable[[object], tuple[dict[str, object], ...]]:
    """Make the reader of an array of tables, whose own values are not read here."""

    def read(value: object) -> tuple[dict[str, object], ...]:
        found = as_array(value)
        inner = [table for each in found or () if (table := as_table(each)) is not None]
        if found is None or len(inner) != len(found):
            # Something in it may be a key.
            raise ValueError(f"expected an array of tables [[{header}]]")
        return tuple(inner)

    return read


def key(value: object) -> bytes:
    """Read a key in hexadecimal. The complaint never shows any of it."""
    text = value if isinstance(value, str) else None
    if text == "":
        raise ValueError("the key is empty")
    if text is None or not _KEY.fullmatch(text):
        raise ValueError("expected a key: two hexadecimal digits for each octet, nothing else")
    return bytes.fromhex(text)


def access(value: object) -> int:
    """Read an access technology by name or number."""
    if isinstance(value, str):
        word = value.lower()
        if word in ACCESS_NAMES:
            return int(ACCESS_NAMES[word])
        listed = ", ".join(ACCESS_NAMES)
        raise ValueError(
            f"expected one of {listed}, or a number from 0 to {_OCTET}, found {shown(value)}"
            + suggestion(word, ACCESS_NAMES)
        )
    return number(0, _OCTET)(value)


def label_weights(value: object) -> tuple[tuple[int, int], ...]:
    """Read weights by If-Label, as { 1 = 3, 2 = 2 }."""
    table = as_table(value)
    if not table:
        raise _expected("weights by If-Label such as { 1 = 3, 2 = 2 }", value)
    return tuple(sorted((_label(label), _weight(label, each)) for label, each in table.items()))


def _label(text: str) -> int:
    labels = {str(label): label for label in range(1, HIGHEST_LABEL + 1)}
    if text not in labels:
        raise _expected(f"an If-Label from 1 to {HIGHEST_LABEL}", text)
    return labels[text]


def _weight(label: str, value: object) -> int:
    try:
        return weight(value)
    except ValueError as error:
        raise ValueError(f"{printable(label)}: {error}") from None


weight: Final = number(1, MAX_WEIGHT)


def bids_of(known: Mapping[str, int]) -> Callable[[object], tuple[int, ...]]:
    """Make the reader of interfaces in order of preference, by name."""
    read_names = list_of(lambda value: _string(value, "the name of an interface"), "interfaces")

    def read(value: object) -> tuple[int, ...]:
        names = read_names(value)
        for each in names:
            if each not in known:
                raise ValueError(f"there is no interface {shown(each)}{suggestion(each, known)}")
        return tuple(known[each] for each in names)

    return read


def bids_with(known: Mapping[int, tuple[int, ...]]) -> Callable[[object], tuple[int, ...]]:
    """Make the reader of If-Labels in order of preference, which stand for BIDs."""
    read_labels = list_of(number(1, HIGHEST_LABEL), "If-Labels")

    def read(value: object) -> tuple[int, ...]:
        labels = read_labels(value)
        for each in labels:
            if each not in known:
                there = ", ".join(map(str, sorted(known)))
                raise ValueError(f"no interface has the If-Label {each}: there is {there}")
        return tuple(bid for each in labels for bid in known[each])

    return read


def match_expression(value: object) -> tuple[TrafficSelector, ...]:
    """Compile a match expression (docs/match.md)."""
    text = _string(value, "a match expression")
    if len(text) > _LONGEST_MATCH:
        raise ValueError(f"expected a match expression of at most {_LONGEST_MATCH} characters")
    try:
        selectors = compile_match(text)
    except MatchError as error:
        raise ValueError(str(error)) from None
    return tuple(each.canonical() for each in selectors)
