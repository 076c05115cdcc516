"""What is fuzzed: functions of any octets that raise when something is not as it should be."""

import io
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from flowbind.cli.captures import MAGIC_OCTETS, CaptureError, Datagram, is_capture, read_packets
from flowbind.cli.datagrams import datagram_of
from flowbind.cli.decode_report import report_on
from flowbind.cli.decode_views import json_of, lines_of
from flowbind.control.messages import Failed
from flowbind.daemon.answers import Answers
from flowbind.daemon.control_server import read_request
from flowbind.daemon.home_agent import HomeAgentRole
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.mobile_node import MobileNodeRole
from flowbind.daemon.perform import Outlets, Performer
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.model.config import InterfaceConfig, MobileNodeConfig
from flowbind.model.encoding import to_json
from flowbind.model.match import MAX_SELECTORS, MatchError, compile_match, describe_selector
from flowbind.store.memory import MemoryStore
from flowbind.wire.agent_discovery import decode_discovery
from flowbind.wire.errors import WireError
from flowbind.wire.extension import MalformedExtension
from flowbind.wire.iana import ReplyCode, SelectorFormat
from flowbind.wire.ipv4 import checksum_of, decode_packet
from flowbind.wire.message import all_of, decode, encode
from flowbind.wire.traffic_selector import decode_selector, encode_selector
from fuzz.home_agent import ASSOCIATIONS, CONFIG, home_agent
from fuzz.mobile_node import mobile_node

Target = Callable[[bytes], None]

_MOST_PACKETS: Final = 50


def wire(data: bytes) -> None:
    """Any octets are a message or a WireError, and a message says the same when written again."""
    try:
        message = decode(data)
    except WireError as error:
        assert error.code is None, "a message that is none, and yet answered"
        return
    malformed = all_of(message, MalformedExtension)
    assert all(each.code is ReplyCode.POORLY_FORMED_REQUEST for each in malformed)
    written = encode(message)
    assert len(written) == len(data)
    assert decode(written) == message
    assert encode(decode(written)) == written


def selector(data: bytes) -> None:
    """Any octets are a traffic selector or a WireError with 134, and have words that mean them."""
    for selector_format in SelectorFormat:
        try:
            found = decode_selector(selector_format, data)
        except WireError as error:
            assert error.code is ReplyCode.POORLY_FORMED_REQUEST
            continue
        assert decode_selector(selector_format, encode_selector(found)) == found
        assert compile_match(describe_selector(found)) == (found.canonical(),)


def discovery(data: bytes) -> None:
    """Any octets are a packet or a WireError, and an Agent Advertisement if their sum is right."""
    for octets in (data, _summed(data)):
        try:
            found = decode_discovery(octets)
        except WireError as error:
            assert error.code is None, "ICMP has no reply codes"
            continue
        assert decode_discovery(found.encode()) == found
    try:
        packet = decode_packet(data)
    except WireError:
        return
    assert decode_packet(packet.encode()) == packet


def _summed(message: bytes) -> bytes:
    blank = message[:2] + bytes(2) + message[4:]
    return blank[:2] + checksum_of(blank).to_bytes(2, "big") + blank[4:]


def match(data: bytes) -> None:
    """Any text is an expression or a MatchError in one line."""
    text = data.decode("utf-8", "replace")
    try:
        compiled = compile_match(text)
    except MatchError as error:
        assert 0 <= error.position <= len(text)
        assert "\n" not in str(error)
        return
    assert 1 <= len(compiled) <= MAX_SELECTORS
    for each in compiled:
        assert compile_match(describe_selector(each)) == (each,)
        assert decode_selector(each.format, encode_selector(each)) == each


def control(data: bytes) -> None:
    """Any line is answered by either daemon, in one line."""
    for answers in (_home_agent_answers(), _mobile_node_answers()):
        for line in data.split(b"\n"):
            request = read_request(line)
            response = request if isinstance(request, Failed) else answers.answer(request)
            answered = to_json(response)
            assert b"\n" not in answered
            assert not any(each.key in answered for each in ASSOCIATIONS)


def capture(data: bytes) -> None:
    """`flowbind decode` shows any file to its end, or says where it is damaged."""
    magic = data[:MAGIC_OCTETS]
    if not is_capture(magic):
        _show(Datagram(data))
        return
    try:
        for packet in read_packets(magic, io.BytesIO(data[MAGIC_OCTETS:])):
            found = datagram_of(packet)
            if isinstance(found, Datagram):
                _show(found)
            if packet.number > _MOST_PACKETS:
                return
    except CaptureError as error:
        assert str(error)


def _show(datagram: Datagram) -> None:
    report = report_on(datagram, {each.spi: (each,) for each in ASSOCIATIONS})
    assert all(line.isprintable() for line in lines_of(report).plain.split("\n"))
    assert to_json(json_of(report))


class _Untimed(EngineLoop):
    """A loop without a timer, for there is no event loop either."""

    def arm(self) -> None:
        """Let time not matter."""


def _home_agent_answers() -> Answers:
    engine, plane = HomeAgent(CONFIG), MemoryDataPlane()
    return Answers(HomeAgentRole(engine, _loop(engine, plane)), plane)


def _mobile_node_answers() -> Answers:
    interfaces = (InterfaceConfig("wlan0", 1, 1, 4), InterfaceConfig("wwan0", 2, 2, 8))
    config = MobileNodeConfig(IPv4Address("10.9.0.5"), CONFIG.address, ASSOCIATIONS[:1], interfaces)
    engine, plane = MobileNode(config), MemoryDataPlane()
    return Answers(MobileNodeRole(engine, _loop(engine, plane)), plane)


def _loop(engine: HomeAgent | MobileNode, plane: MemoryDataPlane) -> EngineLoop:
    outlets = Outlets(lambda _datagram: None, lambda _probe: None)
    return _Untimed(engine, Performer(plane, MemoryStore(), outlets), lambda: 0.0)


TARGETS: Final[dict[str, Target]] = {
    "wire": wire,
    "selector": selector,
    "discovery": discovery,
    "match": match,
    "home-agent": home_agent,
    "mobile-node": mobile_node,
    "control": control,
    "capture": capture,
}
