"""One way in and out of JSON and MessagePack for every frozen Struct of this package.

JSON is for people: addresses are strings. In MessagePack those of IPv4 are integers, which a store
writes and reads several times faster.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def _to_number(value: object) -> object:
    return int(value) if isinstance(value, IPv4Address) else _encode_hook(value)


def _encode_hook(value: object) -> object:
    if isinstance(value, IPv4Address | IPv4Network | IPv6Network):
        return str(value)
    raise NotImplementedError(f"no encoding for {type(value).__name__}")


def _from_number(wanted: type, value: object) -> Any:  # noqa: ANN401
    if wanted is IPv4Address and isinstance(value, int):
        return IPv4Address(value)
    return _decode_hook(wanted, value)


def _decode_hook(wanted: type, value: object) -> Any:  # noqa: ANN401
    if wanted in {IPv4Address, IPv4Network, IPv6Network}:
        if isinstance(value, str):
            return wanted(value)
        raise TypeError("no address")
    raise NotImplementedError(f"no decoding for {wanted.__name__}")


_json = msgspec.json.Encoder(enc_hook=_encode_hook)
_msgpack = msgspec.msgpack.Encoder(enc_hook=_to_number)


def to_json(value: object) -> bytes:
    """Encode a Struct as one line of JSON."""
    return _json.encode(value)


def from_json(data: bytes | str, wanted: type[T]) -> T:
    """Decode JSON into `wanted`; raises msgspec.DecodeError or msgspec.ValidationError."""
    return msgspec.json.decode(data, type=wanted, dec_hook=_decode_hook)


def to_msgpack(value: object) -> bytes:
    """Encode a Struct as MessagePack."""
    return _msgpack.encode(value)


def from_msgpack(data: bytes, wanted: type[T]) -> T:
    """Decode MessagePack into `wanted`; raises as `from_json`."""
    return msgspec.msgpack.decode(data, type=wanted, dec_hook=_from_number)


def to_builtins(value: object) -> Any:  # noqa: ANN401
    """Turn a Struct into plain dicts, lists, strings and numbers."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)
