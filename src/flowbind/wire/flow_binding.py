"""The Flow-Binding extension (RFC 7629 4.2).

    Type 154, Subtype 2, Length (2), Action, BID Count, the BIDs, TS Format, Traffic Selector

The BID list is not padded, whatever the alignment of figure 5 suggests.
"""

from typing import Final

from msgspec import Struct

from flowbind.wire.errors import WireError
from flowbind.wire.iana import (
    ExtensionType,
    FlowAction,
    MultipathSubtype,
    ReplyCode,
    SelectorFormat,
)
from flowbind.wire.reader import Reader
from flowbind.wire.traffic_selector import TrafficSelector, decode_selector, encode_selector

MAX_BIDS: Final = 8
DROP_BID: Final = 255
"""What a sender puts into the one BID octet of DROP, and a receiver ignores."""


class FlowBinding(Struct, frozen=True):
    """What becomes of the packets of one selector. `bids` are in order of preference."""

    action: FlowAction
    bids: tuple[int, ...]
    selector: TrafficSelector

    @staticmethod
    def decode(data: bytes) -> "FlowBinding":
        """Decode the octets behind Length. Raises WireError with code 134."""
        reader = Reader(data, ReplyCode.POORLY_FORMED_REQUEST)
        action = _action(reader.unsigned(1))
        count = reader.unsigned(1)
        if not 1 <= count <= MAX_BIDS:
            raise _malformed("flow-binding-bid-count", str(count))
        if action is FlowAction.DROP and count != 1:
            raise _malformed("flow-binding-drop-bids", f"{count} BIDs instead of 1")
        bids = tuple(reader.octets(count))
        selector_format = _selector_format(reader.unsigned(1))
        return FlowBinding(action, bids, decode_selector(selector_format, reader.rest()))

    def encode(self) -> bytes:
        """Encode the whole extension."""
        bids = self.bids or (DROP_BID,)
        data = bytes((self.action, len(bids), *bids, self.selector.format))
        data += encode_selector(self.selector)
        head = bytes((ExtensionType.MULTIPATH, MultipathSubtype.FLOW_BINDING))
        return head + len(data).to_bytes(2, "big") + data


def _action(value: int) -> FlowAction:
    try:
        return FlowAction(value)
    except ValueError:
        raise _malformed("flow-binding-action", str(value)) from None


def _selector_format(value: int) -> SelectorFormat:
    try:
        return SelectorFormat(value)
    except ValueError:
        raise _malformed("flow-binding-ts-format", str(value)) from None


def _malformed(reason: str, detail: str) -> WireError:
    return WireError(reason, detail, ReplyCode.POORLY_FORMED_REQUEST)
