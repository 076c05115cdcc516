import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.extension import UnknownExtension, decode_extensions
from flowbind.wire.iana import MessageStringSubtype, ReplyCode
from flowbind.wire.strings import ForeignAgentError, MessageString

HOME_AGENT, FOREIGN_AGENT = MessageStringSubtype


@pytest.mark.rfc("4917", "3")
def test_a_message_string_both_ways(vector):
    extension = MessageString(HOME_AGENT, b"hello")

    assert extension.encode() == vector("message-string")
    assert decode_extensions(vector("message-string"), 0) == (extension,)
    assert MessageString.of(HOME_AGENT, "hello") == extension
    assert extension.text == "hello"


@pytest.mark.rfc("4917", "3")
@pytest.mark.parametrize("octets", ["91 00", "91 01 01", "91 02 00 61", "91 02 03 61"])
def test_one_without_a_text_or_of_nobody_is_passed_over(octets):
    payload = bytes.fromhex(octets)

    assert decode_extensions(payload, 0) == (UnknownExtension(145, payload[2:]),)


@pytest.mark.rfc("4917", "3")
def test_a_text_of_one_octet_is_one():
    assert decode_extensions(bytes.fromhex("91 02 02 61"), 0) == (
        MessageString(FOREIGN_AGENT, b"a"),
    )


@pytest.mark.rfc("4917", "3")
@pytest.mark.parametrize(
    ("text", "octets"),
    [("a" * 254, 254), ("a" * 255, 254), ("ü" * 127, 254), ("a" + "ü" * 127, 253)],
)
def test_a_text_is_cut_to_what_fits_between_two_characters(text, octets):
    extension = MessageString.of(FOREIGN_AGENT, text)

    assert len(extension.octets) == octets
    assert text.startswith(extension.text)
    assert extension.encode()[:3] == bytes((145, 1 + octets, 2))


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1b[2J", "\N{REPLACEMENT CHARACTER}[2J"),
        (b"a\nb", "a\N{REPLACEMENT CHARACTER}b"),
        (b"\xff\xc3", "\N{REPLACEMENT CHARACTER}" * 2),
        ("\N{RIGHT-TO-LEFT OVERRIDE}".encode(), "\N{REPLACEMENT CHARACTER}"),
        ("Grüße".encode(), "Grüße"),
    ],
)
def test_of_what_a_stranger_wrote_nothing_is_left_that_a_terminal_obeys(octets, text):
    extension = MessageString(HOME_AGENT, octets)

    assert extension.text == text
    assert extension.encode()[3:] == octets


@pytest.mark.rfc("4636", "3")
def test_the_error_of_a_foreign_agent_both_ways(vector):
    assert ForeignAgentError(77).encode() == vector("fa-error")
    assert ForeignAgentError.decode(vector("fa-error")[2:]) == ForeignAgentError(77)


@pytest.mark.rfc("4636", "3")
@pytest.mark.parametrize("data", ["", "00", "004d00", "014d"])
def test_an_error_of_a_foreign_agent_that_is_malformed(data):
    with pytest.raises(WireError) as refused:
        ForeignAgentError.decode(bytes.fromhex(data))

    assert str(refused.value) == f"fa-error-malformed: {data} instead of a subtype 0 and a status"
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
