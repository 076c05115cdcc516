from flowbind.wire.errors import WireError


def test_a_refusal_reads_as_a_sentence():
    assert str(WireError("truncated")) == "truncated"
    assert str(WireError("truncated", "4 octets wanted")) == "truncated: 4 octets wanted"
