import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.extension import UnknownExtension, decode_extensions
from flowbind.wire.udp_tunnel import UdpTunnelReply, UdpTunnelRequest


@pytest.mark.rfc("3519", "3.1", "UT-E-1")
def test_golden_request_both_ways(vector):
    extension = UdpTunnelRequest(47, force=True)

    assert extension.encode() == vector("udp-tunnel-request")
    assert decode_extensions(vector("udp-tunnel-request"), 0) == (extension,)


@pytest.mark.rfc("3519", "3.2", "UT-E-2")
def test_golden_reply_both_ways(vector):
    extension = UdpTunnelReply(0, 110, forced=True)

    assert extension.encode() == vector("udp-tunnel-reply")
    assert decode_extensions(vector("udp-tunnel-reply"), 0) == (extension,)


@pytest.mark.rfc("3519", "3.1.3", "UT-E-3")
def test_reserved_bits_are_ignored_and_sent_as_zero():
    request = UdpTunnelRequest.decode(bytes.fromhex("00 ff 7f 04 0000"))
    reply = UdpTunnelReply.decode(bytes.fromhex("00 40 7fff 0000"))

    assert request == UdpTunnelRequest(4, through_foreign_agent=True)
    assert request.encode() == bytes.fromhex("90 06 00 00 40 04 0000")
    assert reply == UdpTunnelReply(64)
    assert reply.encode() == bytes.fromhex("2c 06 00 40 0000 0000")


@pytest.mark.rfc("3519", "3.1.3", "UT-E-3")
@pytest.mark.parametrize("data", ["00 00 80 04 0001", "01 00 80 04 0000", "00 00 80 04", ""])
def test_a_request_that_is_not_understood_is_one_to_skip(data):
    octets = bytes.fromhex(data)
    (extension,) = decode_extensions(bytes((144, len(octets))) + octets, 0)

    assert extension == UnknownExtension(144, octets)


@pytest.mark.parametrize("data", ["01 00 0000 006e", "00 00 0000", ""])
def test_a_reply_that_is_not_understood_is_unknown(data):
    with pytest.raises(WireError) as refused:
        UdpTunnelReply.decode(bytes.fromhex(data))
    (extension,) = decode_extensions(bytes((44, len(bytes.fromhex(data)))) + bytes.fromhex(data), 0)

    assert refused.value.reason == "unknown-udp-tunnel-extension"
    assert extension == UnknownExtension(44, bytes.fromhex(data))


@pytest.mark.rfc("3519", "3.2.1")
@pytest.mark.parametrize(("code", "assents"), [(0, True), (63, True), (64, False), (255, False)])
def test_which_reply_codes_assent(code, assents):
    assert UdpTunnelReply(code).assents is assents
