import pytest

from flowbind.wire.errors import WireError
from flowbind.wire.iana import AccessTechnology, MultipathFlag, ReplyCode
from flowbind.wire.multipath import Multipath

GOLDEN = [
    ("multipath-wlan", Multipath(AccessTechnology.WLAN, 1, 1)),
    ("multipath-bulk", Multipath(AccessTechnology.LTE, 2, 2, MultipathFlag.BULK_REREGISTRATION)),
    ("multipath-overwrite", Multipath(AccessTechnology.LTE, 2, 2, MultipathFlag.OVERWRITE)),
]


@pytest.mark.rfc("7629", "4.1", "MP-E-2")
@pytest.mark.parametrize(("name", "extension"), GOLDEN)
def test_golden_both_ways(vector, name, extension):
    assert extension.encode() == vector(name)
    assert Multipath.decode(vector(name)[4:]) == extension


@pytest.mark.rfc("7629", "4.1")
def test_the_flags_by_name(vector):
    bulk = Multipath.decode(vector("multipath-bulk")[4:])
    overwrite = Multipath.decode(vector("multipath-overwrite")[4:])

    assert (bulk.bulk, bulk.overwrite) == (True, False)
    assert (overwrite.bulk, overwrite.overwrite) == (False, True)


@pytest.mark.rfc("7629", "4.1", "MP-E-6")
@pytest.mark.parametrize("flags", [0x3F, 0x20, 0x01, 0xBF, 0x7F, 0xFF])
def test_reserved_bits_are_ignored_on_receipt_and_sent_as_zero(flags):
    extension = Multipath.decode(bytes((4, 1, 1, flags)))

    assert extension.flags == flags & 0xC0
    assert extension.encode()[-1] == flags & 0xC0


@pytest.mark.rfc("7629", "4.1")
def test_b_and_o_together_decode_for_the_home_agent_to_refuse():
    extension = Multipath.decode(bytes((4, 1, 1, 0xC0)))

    assert extension.bulk
    assert extension.overwrite


@pytest.mark.rfc("7629", "4.1", "A-20")
@pytest.mark.parametrize("access_technology", [0, 14, 255])
def test_an_unknown_access_technology_is_accepted(access_technology):
    data = bytes((access_technology, 1, 1, 0))

    assert Multipath.decode(data).access_technology == access_technology
    assert Multipath.decode(data).encode()[4:] == data


@pytest.mark.rfc("7629", "4.1", "MP-E-3")
@pytest.mark.parametrize(("label", "bid"), [(1, 1), (255, 254)])
def test_the_ends_of_the_legal_ranges(label, bid):
    assert Multipath.decode(bytes((4, label, bid, 0))) == Multipath(4, label, bid)


@pytest.mark.rfc("7629", "4.1", "MP-E-2", "MP-E-3", "A-20")
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "multipath-length: 0 octets instead of 4"),
        ("040101", "multipath-length: 3 octets instead of 4"),
        ("0401010000", "multipath-length: 5 octets instead of 4"),
        ("04010000", "multipath-bid: BID 0 is reserved"),
        ("0401ff00", "multipath-bid: BID 255 is reserved"),
        ("04000100", "multipath-label: If-Label 0 is not legal"),
    ],
)
def test_what_is_malformed_is_answered_with_134(data, complaint):
    with pytest.raises(WireError) as refused:
        Multipath.decode(bytes.fromhex(data))

    assert str(refused.value) == complaint
    assert refused.value.code is ReplyCode.POORLY_FORMED_REQUEST
