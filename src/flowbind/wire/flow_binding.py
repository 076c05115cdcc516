"""The Flow-Binding extension (RFC 7629 4.2).

    Type 154, Subtype 2, Length (2), Action, BID Count, the BIDs, TS Format, Traffic Selector

The BID list is not padded, whatever the alignment of figure 5 suggests.
"""

from typing import Final

from flowbind.frozen import Frozen
from flowbind.wire.errors import WireError
from flowbind.wire.iana import (
    ExtensionType,
    FlowAction,
    MultipathSubtype,
    ReplyCode,
    SelectorFormat,
)
from flowbind.wire.traffic_selector import TrafficSelector, decode_selector, encode_selector

MAX_BIDS: Final = 8
DROP_BID: Final = 255
"""What a sender puts into the one BID octet of DROP, and a receiver ignores."""

_ACTIONS: Final = {int(each): each for each in FlowAction}
_FORMATS: Final = {int(each): each for each in SelectorFormat}
_DROP: Final = FlowAction.DROP
_HEAD: Final = bytes((ExtensionType.MULTIPATH, MultipathSubtype.FLOW_BINDING))
_ACTION_AND_COUNT_OCTETS: Final = 2


class FlowBinding(Frozen, frozen=True):
    """What becomes of the packets of one selector. `bids` are in order of preference."""

    action: FlowAction
    bids: tuple[int, ...]
    selector: TrafficSelector

    @staticmethod
    def decode(data: bytes) -> "FlowBinding":
        """Decode the octets behind Length. Raises WireError with code 134."""
        _check_room(data, 0, _ACTION_AND_COUNT_OCTETS)
        action = _ACTIONS.get(data[0])
        if action is None:
            raise _malformed("flow-binding-action", str(data[0]))
        count = data[1]
        if not 1 <= count <= MAX_BIDS:
            raise _malformed("flow-binding-bid-count", str(count))
        if action is _DROP and count != 1:
            raise _malformed("flow-binding-drop-bids", f"{count} BIDs instead of 1")
        behind = _ACTION_AND_COUNT_OCTETS + count
        _check_room(data, _ACTION_AND_COUNT_OCTETS, count + 1)
        selector_format = _FORMATS.get(data[behind])
        if selector_format is None:
            raise _malformed("flow-binding-ts-format", str(data[behind]))
        selector = decode_selector(selector_format, data[behind + 1 :])
        return FlowBinding(action, tuple(data[_ACTION_AND_COUNT_OCTETS:behind]), selector)

    def encode(self) -> bytes:
        """Encode the whole extension."""
        bids = self.bids or (DROP_BID,)
        data = bytes((self.action, len(bids), *bids, self.selector.format))
        data += encode_selector(self.selector)
        return _HEAD + len(data).to_bytes(2, "big") + data


def _check_room(data: bytes, at: int, octets: int) -> None:
    if at + octets > len(data):
        raise _malformed("truncated", f"{octets} octets wanted, {len(data) - at} left")


def _malformed(reason: str, detail: str) -> WireError:
    return WireError(reason, detail, ReplyCode.POORLY_FORMED_REQUEST)
