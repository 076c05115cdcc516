"""What flowbind sends is what tshark reads, in a copy from which type 154 is cut."""

import pytest
from hypothesis import strategies as st

from flowbind.lab.signalling import Signal, disagreements_of_tshark
from flowbind.wire.message import encode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from tests.interop.captures import in_udp
from tests.interop.strategies import examples, replies, requests


@pytest.mark.rfc("5944", "3.3")
@pytest.mark.rfc("5944", "3.4")
def test_tshark_reads_every_field_of_the_messages_that_are_sent(tmp_path):
    messages = examples(st.one_of(requests(), replies()), 250)
    assert {type(each) for each in messages} == {RegistrationRequest, RegistrationReply}
    signals = []
    for at, message in enumerate(messages):
        payload = encode(message)
        # The message itself and not what decodes from the octets: both might be wrong alike.
        signals.append(Signal(float(at), in_udp(payload), payload, message))

    assert disagreements_of_tshark(signals, tmp_path / "copy") == []
