"""One way in and out of JSON and MessagePack for every frozen Struct of this package."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def _encode_hook(value: object) -> object:
    if isinstance(value, IPv4Address | IPv4Network):
        return str(value)
    raise NotImplementedError(f"no encoding for {type(value).__name__}")


def _decode_hook(wanted: type, value: object) -> Any:  # noqa: ANN401
    if wanted in {IPv4Address, IPv4Network} and isinstance(value, str):
        return wanted(value)
    raise NotImplementedError(f"no decoding for {wanted.__name__}")


_json = msgspec.json.Encoder(enc_hook=_encode_hook)
_msgpack = msgspec.msgpack.Encoder(enc_hook=_encode_hook)


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
    return msgspec.msgpack.decode(data, type=wanted, dec_hook=_decode_hook)


def to_builtins(value: object) -> Any:  # noqa: ANN401
    """Turn a Struct into plain dicts, lists, strings and numbers."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)
