"""Messages in the words of the case files, to octets and back (cases/README.md).

A second codec, written from RFC 5944 3.3 to 3.5, RFC 7629 4 and RFC 6088 3. It shares the names of
reply codes with `flowbind.wire` and nothing else, so what that gets wrong is not taken for right.
Identifications are integers here.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from flowbind.wire.names import REPLY_CODE_NAMES

Fields = dict[str, Any]

REQUEST: Final = "registration-request"
REPLY: Final = "registration-reply"

_REQUEST_LAYOUT: Final = struct.Struct("!BBH4s4s4sQ")
_REPLY_LAYOUT: Final = struct.Struct("!BBH4s4sQ")
_REQUEST_TYPE: Final = 1
_REPLY_TYPE: Final = 3
_REQUEST_FLAGS: Final = "SBDMGrTx"
_MULTIPATH_FLAGS: Final = "BO"

_AUTHENTICATIONS: Final = {
    "mobile_home_authentication": 32,
    "mobile_foreign_authentication": 33,
    "foreign_home_authentication": 34,
}
_AUTHENTICATION_NAMES: Final = {number: name for name, number in _AUTHENTICATIONS.items()}
_MOBILE_HOME: Final = "mobile_home_authentication"
_SPI_OCTETS: Final = 4
_PADDING: Final = 0
_NAI: Final = 131
_MULTIPATH: Final = 154
_LONG: Final = frozenset({36, 38, 40, 41, 42, 43, 47, 48, 50, 127, _MULTIPATH})

_ACTIONS: Final = ("DROP", "FORWARD")
_SELECTOR_FIELDS: Final[dict[str, dict[str, int]]] = {
    "ipv4": {
        "source": 4,
        "destination": 4,
        "spi": 4,
        "source_port": 2,
        "destination_port": 2,
        "traffic_class": 1,
        "protocol": 1,
    },
    "ipv6": {
        "source": 16,
        "destination": 16,
        "spi": 4,
        "flow_label": 4,
        "source_port": 2,
        "destination_port": 2,
        "traffic_class": 1,
        "protocol": 1,
    },
}
_FORMATS: Final = {1: "ipv4", 2: "ipv6"}
_ADDRESSES: Final = frozenset({"source", "destination"})


class Key(NamedTuple):
    """What a security association computes authenticators with (RFC 5944 5.1)."""

    key: bytes
    algorithm: str

    def authenticator(self, covered: bytes) -> bytes:
        """Compute the authenticator over all that stands in front of it."""
        match self.algorithm:
            case "hmac-md5":
                return hmac.new(self.key, covered, "md5").digest()
            case "hmac-sha256":
                return hmac.new(self.key, covered, "sha256").digest()
            case "keyed-md5":
                return hashlib.md5(self.key + covered + self.key, usedforsecurity=False).digest()
            case _:
                raise ValueError(f"algorithm {self.algorithm!r}")


Keys = Mapping[int, Key]


def code_in_words(number: int) -> str:
    """Return a reply code as the cases write it: its number, then its name."""
    return f"{number} {REPLY_CODE_NAMES[number]}" if number in REPLY_CODE_NAMES else str(number)


def number_of_code(words: str) -> int:
    """Return the number of a reply code. Raises ValueError if the name is another one's."""
    number = int(words.partition(" ")[0])
    if code_in_words(number) != words:
        raise ValueError(f"code {words!r} is {code_in_words(number)!r}")
    return number


# ---- words to octets


def encode(fields: Fields, keys: Keys) -> bytes:
    """Write the datagram that a case describes. Raises KeyError and ValueError for nonsense."""
    if "octets" in fields:
        return bytes.fromhex(fields["octets"])
    payload = _fixed(fields)
    for extension in fields.get("extensions", ()):
        payload += _extension(extension, payload, keys)
    if spi := fields.get("authenticated"):
        payload += _authentication(32, {"spi": spi}, payload, keys)
    return payload


def _fixed(fields: Fields) -> bytes:
    home_address, home_agent = _address(fields["home_address"]), _address(fields["home_agent"])
    lifetime_s, identification = fields["lifetime"], fields["identification"]
    if fields["message"] == REPLY:
        code = number_of_code(fields["code"])
        return _REPLY_LAYOUT.pack(
            _REPLY_TYPE, code, lifetime_s, home_address, home_agent, identification
        )
    flags = _bits(fields["flags"], _REQUEST_FLAGS)
    care_of_address = _address(fields["care_of_address"])
    return _REQUEST_LAYOUT.pack(
        _REQUEST_TYPE, flags, lifetime_s, home_address, home_agent, care_of_address, identification
    )


def _extension(extension: Fields, before: bytes, keys: Keys) -> bytes:
    ((kind, content),) = extension.items()
    if kind in _AUTHENTICATIONS:
        return _authentication(_AUTHENTICATIONS[kind], content, before, keys)
    match kind:
        case "multipath":
            flags = _bits(content.get("flags", ""), _MULTIPATH_FLAGS) | content.get("reserved", 0)
            label = content.get("label", content["bid"])
            technology = content.get("access_technology", 4)
            return _long(1, bytes((technology, label, content["bid"], flags)))
        case "flow_binding":
            return _long(2, _flow_binding(content))
        case "nai":
            name: bytes = content.encode()
            return bytes((_NAI, len(name))) + name
        case "unknown":
            data = bytes.fromhex(content["data"])
            return bytes((content["type"], len(data))) + data
        case "octets":
            return bytes.fromhex(content)
        case _:
            raise ValueError(f"extension {kind!r}")


def _long(subtype: int, data: bytes) -> bytes:
    return struct.pack("!BBH", _MULTIPATH, subtype, len(data)) + data


def _flow_binding(content: Fields) -> bytes:
    bids = content["bids"]
    form = content.get("format", "ipv4")
    (number,) = [number for number, name in _FORMATS.items() if name == form]
    head = bytes((_ACTIONS.index(content["action"]), len(bids), *bids, number))
    return head + _selector(content.get("selector", {}), form)


def _selector(selector: Fields, form: str) -> bytes:
    flags, body = 0, b""
    for at, (name, size) in enumerate(_SELECTOR_FIELDS[form].items()):
        value = selector.get(name)
        if value is not None:
            ends = value if isinstance(value, list) else [value]
            flags |= 1 << 31 - 2 * at | (1 << 30 - 2 * at if len(ends) > 1 else 0)
            body += b"".join(_number(name, each).to_bytes(size, "big") for each in ends)
    if extra := selector.keys() - _SELECTOR_FIELDS[form].keys():
        raise ValueError(f"selector field {', '.join(sorted(extra))}")
    return flags.to_bytes(4, "big") + body


def _number(name: str, value: int | str) -> int:
    return int(ip_address(value)) if name in _ADDRESSES else int(value)


def _authentication(number: int, content: Fields, before: bytes, keys: Keys) -> bytes:
    """RFC 5944 3.5.1: from the first octet of the message to the SPI, and no further."""
    spi: int = content["spi"]
    wanted: str = content.get("authenticator", "right")
    if wanted not in {"right", "wrong"}:
        given = bytes.fromhex(wanted)
        return bytes((number, _SPI_OCTETS + len(given))) + spi.to_bytes(4, "big") + given
    key_of: int = content.get("key_of", spi)
    key = keys[key_of]
    length = _SPI_OCTETS + len(key.authenticator(b""))
    head = bytes((number, length)) + spi.to_bytes(4, "big")
    right = key.authenticator(before + head)
    return head + (right if wanted == "right" else bytes((right[0] ^ 1,)) + right[1:])


def _address(text: str) -> bytes:
    return ip_address(text).packed


def _bits(letters: str, order: str) -> int:
    return sum(1 << 7 - order.index(letter) for letter in letters)


# ---- octets to words


def describe(payload: bytes, keys: Keys) -> Fields:
    """Say what a datagram is, in the words that `encode` takes: its octets, if it is another one
    than the registration messages. Raises ValueError for nonsense.
    """
    if payload[0] == _REQUEST_TYPE:
        fields, at = _described_request(payload), _REQUEST_LAYOUT.size
    elif payload[0] == _REPLY_TYPE:
        fields, at = _described_reply(payload), _REPLY_LAYOUT.size
    else:
        return {"octets": payload.hex(" ")}
    extensions = [_described(payload, *frame, keys) for frame in _frames(payload, at)]
    last = extensions[-1].get(_MOBILE_HOME) if extensions else None
    if last and last["authenticator"] == "right":
        extensions.pop()
    if extensions:
        fields["extensions"] = extensions
    if last and last["authenticator"] == "right":
        fields["authenticated"] = last["spi"]
    return fields


def _described_request(payload: bytes) -> Fields:
    _, flags, lifetime_s, home, agent, care_of, identification = _REQUEST_LAYOUT.unpack_from(
        payload
    )
    return {
        "message": REQUEST,
        "flags": _letters(flags, _REQUEST_FLAGS),
        "lifetime": lifetime_s,
        "home_address": str(ip_address(home)),
        "home_agent": str(ip_address(agent)),
        "care_of_address": str(ip_address(care_of)),
        "identification": identification,
    }


def _described_reply(payload: bytes) -> Fields:
    _, code, lifetime_s, home, agent, identification = _REPLY_LAYOUT.unpack_from(payload)
    return {
        "message": REPLY,
        "code": code_in_words(code),
        "lifetime": lifetime_s,
        "home_address": str(ip_address(home)),
        "home_agent": str(ip_address(agent)),
        "identification": identification,
    }


def _frames(payload: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Give type, first octet and the octet behind each extension (RFC 5944 1.8 to 1.11)."""
    while at < len(payload):
        number = payload[at]
        if number == _PADDING:
            behind = at + 1
        elif number in _LONG:
            behind = at + 4 + int.from_bytes(payload[at + 2 : at + 4], "big")
        else:
            behind = at + 2 + payload[at + 1]
        if behind > len(payload):
            raise ValueError("an extension runs past the end")
        yield number, at, behind
        at = behind


def _described(payload: bytes, number: int, at: int, behind: int, keys: Keys) -> Fields:
    if number in _AUTHENTICATION_NAMES:
        return {_AUTHENTICATION_NAMES[number]: _described_authentication(payload, at, behind, keys)}
    if number == _NAI:
        return {"nai": payload[at + 2 : behind].decode()}
    if number == _MULTIPATH and payload[at + 1] == 1:
        technology, label, bid, flags = payload[at + 4 : behind]
        found: Fields = {"bid": bid, "label": label, "access_technology": technology}
        if letters := _letters(flags & 0xC0, _MULTIPATH_FLAGS):
            found["flags"] = letters
        return {"multipath": found | ({"reserved": flags & 0x3F} if flags & 0x3F else {})}
    if number == _MULTIPATH and payload[at + 1] == 2:
        return {"flow_binding": _described_flow_binding(payload[at + 4 : behind])}
    return {"octets": payload[at:behind].hex(" ")}


def _described_authentication(payload: bytes, at: int, behind: int, keys: Keys) -> Fields:
    spi = int.from_bytes(payload[at + 2 : at + 6], "big")
    found = payload[at + 6 : behind]
    right = spi in keys and keys[spi].authenticator(payload[: at + 6]) == found
    return {"spi": spi, "authenticator": "right" if right else found.hex()}


def _described_flow_binding(data: bytes) -> Fields:
    action, count = data[0], data[1]
    form = _FORMATS[data[2 + count]]
    found: Fields = {"action": _ACTIONS[action], "bids": list(data[2 : 2 + count])}
    if form != "ipv4":
        found["format"] = form
    return found | {"selector": _described_selector(data[3 + count :], form)}


def _described_selector(data: bytes, form: str) -> Fields:
    flags, at, found = int.from_bytes(data[:4], "big"), 4, Fields()
    for index, (name, size) in enumerate(_SELECTOR_FIELDS[form].items()):
        ends = []
        for bit in (31 - 2 * index, 30 - 2 * index):
            if flags >> bit & 1:
                value = data[at : at + size]
                ends.append(
                    str(ip_address(value)) if name in _ADDRESSES else int.from_bytes(value, "big")
                )
                at += size
        if ends:
            found[name] = ends if len(ends) > 1 else ends[0]
    if at != len(data):
        raise ValueError("a traffic selector is not as long as its flags say")
    return found


def _letters(octet: int, order: str) -> str:
    return "".join(letter for at, letter in enumerate(order) if octet >> 7 - at & 1)
