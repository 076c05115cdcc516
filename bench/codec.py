"""Decoding and encoding a Registration Request, beside scapy doing the same in the same round.

Scapy's own layer ends with the fixed part and leaves the extensions as octets. So the fixed part
alone is one comparison; for the other, the extensions of the golden request are described to scapy.
"""

import logging
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.report import Section, figure, tell
from flowbind.wire.message import decode, encode
from flowbind.wire.registration import REQUEST_LAYOUT

# Scapy complains about interfaces without addresses when it is imported.
logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy import fields as scapy_fields  # noqa: E402
from scapy.layers.mobileip import MobileIP, MobileIPRRQ  # noqa: E402
from scapy.packet import Packet  # noqa: E402

TIMES_FASTER = 20.0
_VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "rfc7629.toml"
_AT_ONCE = 200

Codec = Callable[[bytes], bytes]


class _Extension(Packet):  # type: ignore[misc]
    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """Leave what follows to the next extension."""
        return b"", s


class _Multipath(_Extension):
    fields_desc = (
        scapy_fields.ByteField("type", 154),
        scapy_fields.ByteField("subtype", 1),
        scapy_fields.ShortField("length", 4),
        scapy_fields.ByteField("access_technology", 0),
        scapy_fields.ByteField("label", 0),
        scapy_fields.ByteField("bid", 0),
        scapy_fields.ByteField("flags", 0),
    )


class _FlowBinding(_Extension):
    """Its traffic selector stays octets, which flowbind decodes too."""

    fields_desc = (
        scapy_fields.ByteField("type", 154),
        scapy_fields.ByteField("subtype", 2),
        scapy_fields.ShortField("length", 0),
        scapy_fields.ByteField("action", 0),
        scapy_fields.ByteField("count", 0),
        scapy_fields.FieldListField(
            "bids", [], scapy_fields.ByteField("bid", 0), count_from=lambda it: it.count
        ),
        scapy_fields.ByteField("format", 1),
        scapy_fields.StrLenField("selector", b"", length_from=lambda it: it.length - it.count - 3),
    )


class _Authentication(_Extension):
    fields_desc = (
        scapy_fields.ByteField("type", 32),
        scapy_fields.ByteField("length", 20),
        scapy_fields.IntField("spi", 0),
        scapy_fields.StrLenField("authenticator", b"", length_from=lambda it: it.length - 4),
    )


_CLASSES = {b"\x9a\x01": _Multipath, b"\x9a\x02": _FlowBinding, b"\x20\x14": _Authentication}


class GoldenRequest(Packet):  # type: ignore[misc]
    """The request with its extensions."""

    fields_desc = (
        scapy_fields.ByteField("type", 1),
        *MobileIPRRQ.fields_desc,
        scapy_fields.PacketListField(
            "extensions", [], next_cls_cb=lambda _it, _list, _last, octets: _CLASSES[octets[:2]]
        ),
    )


def golden_request() -> bytes:
    """Return the request of the golden messages."""
    return bytes.fromhex(tomllib.loads(_VECTORS.read_text())["request"])


def by_flowbind(payload: bytes) -> bytes:
    """Decode and encode, as the daemons do."""
    return encode(decode(payload))


def by_scapy(layer: Any) -> Codec:  # noqa: ANN401 -- scapy has no types
    """Return what dissects with a layer of scapy and builds again from the fields."""

    def codec(payload: bytes) -> bytes:
        packet = layer(payload)
        # Otherwise it would give back the octets that it was made of.
        packet.clear_cache()
        return bytes(packet)

    return codec


def measure(rounds: int, seconds: float) -> Section:
    """Take all measurements; about (rounds * seconds) long."""
    golden = golden_request()
    turns = {
        "fixed part": (golden[: REQUEST_LAYOUT.size], by_scapy(MobileIP)),
        "golden request, three extensions": (golden, by_scapy(GoldenRequest)),
    }
    figures = []
    for what, (payload, theirs) in turns.items():
        for codec in (by_flowbind, theirs):
            if codec(payload) != payload:
                raise SystemExit(f"bench: {what}: the octets changed")
        found = [
            (_per_s(by_flowbind, payload, seconds / 4), _per_s(theirs, payload, seconds / 4))
            for _round in range(rounds)
        ]
        ours, scapys = zip(*found, strict=True)
        figures.append(
            figure(what, "each/s", ours, scapys, ratio_at_least=TIMES_FASTER),
        )
        tell(f"codec: {what}: {figures[-1].median:,.0f}/s, scapy {figures[-1].reference:,.0f}/s")
    return Section("decode and encode", "scapy", figures)


def _per_s(codec: Codec, payload: bytes, seconds: float) -> float:
    """Return how often it is done in a second of processor time."""
    done = 0
    begun_at = time.process_time()
    while (lasted := time.process_time() - begun_at) < seconds:
        for _each in range(_AT_ONCE):
            codec(payload)
        done += _AT_ONCE
    return done / lasted
