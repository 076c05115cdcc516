import pytest

from flowbind.wire.extension import REGISTRY, Framing
from flowbind.wire.iana import (
    AccessTechnology,
    DynamicHomeAgentSubtype,
    GeneralizedAuthenticationSubtype,
    MessageDirection,
    MessageStringSubtype,
    MessageType,
    MultipathSubtype,
    NotificationCode,
    ReplyCode,
    RequestFlag,
    SelectorFormat,
)
from flowbind.wire.names import (
    ACCESS_TECHNOLOGY_NAMES,
    DIRECTION_NAMES,
    MESSAGE_NAMES,
    NOTIFICATION_CODE_NAMES,
    REPLY_CODE_NAMES,
    REQUEST_FLAG_NAMES,
    SELECTOR_FORMAT_NAMES,
    SUBTYPE_NAMES,
    access_technology_name,
    extension_name,
    notification_code_name,
    reply_code_class,
    reply_code_name,
    subtype_name,
)


def test_every_number_that_is_spoken_has_a_name():
    assert set(MessageType) <= MESSAGE_NAMES.keys()
    assert set(ReplyCode) <= REPLY_CODE_NAMES.keys()
    assert set(AccessTechnology) == ACCESS_TECHNOLOGY_NAMES.keys()
    assert set(RequestFlag) == REQUEST_FLAG_NAMES.keys()
    assert set(SelectorFormat) == SELECTOR_FORMAT_NAMES.keys()


def test_the_flags_spell_the_octet_of_the_rfc():
    in_order = sorted(REQUEST_FLAG_NAMES, reverse=True)

    assert "".join(REQUEST_FLAG_NAMES[flag][0] for flag in in_order) == "SBDMGrTx"


@pytest.mark.rfc("7629", "4.3")
def test_the_codes_of_rfc_7629():
    assert reply_code_name(152) == "MULTIPATH_NOT_ALLOWED"
    assert reply_code_name(153) == "INVALID_FB_IDENTIFIER"
    assert reply_code_name(154) == "unassigned"


@pytest.mark.rfc("5944", "3.4")
@pytest.mark.parametrize(
    ("code", "decision"),
    [
        (0, "accepted"),
        (8, "accepted"),
        (9, "denied"),
        (63, "denied"),
        (64, "denied by the foreign agent"),
        (127, "denied by the foreign agent"),
        (128, "denied by the home agent"),
        (192, "denied by the home agent"),
        (193, "denied"),
        (255, "denied"),
    ],
)
def test_the_range_of_a_code_tells_who_decided(code, decision):
    assert reply_code_class(code) == decision


def test_what_has_no_name_is_unassigned():
    assert access_technology_name(14) == "unassigned"
    assert extension_name(1) == "unassigned"
    assert extension_name(255) == REGISTRY[255].name


def test_every_subtype_is_one_of_a_type_that_has_any():
    framed = {Framing.SHORT, Framing.LONG}
    assert {REGISTRY[number].framing for number in SUBTYPE_NAMES} == framed
    for enumeration, number in (
        (GeneralizedAuthenticationSubtype, 36),
        (DynamicHomeAgentSubtype, 139),
        (MessageStringSubtype, 145),
        (MultipathSubtype, 154),
    ):
        assert set(enumeration) == SUBTYPE_NAMES[number].keys()


@pytest.mark.parametrize(
    ("number", "subtype", "name"),
    [
        (36, 1, "Mobile-AAA Authentication"),
        (36, 5, "unassigned"),
        (152, 3, "IPv6 Tunneling Mode"),
        (152, 0, "unassigned"),
        (131, 1, "unassigned"),
    ],
)
def test_subtypes_by_name(number, subtype, name):
    assert subtype_name(number, subtype) == name


def test_access_technologies_by_name():
    assert access_technology_name(4) == "IEEE 802.11a/b/g"


@pytest.mark.rfc("6098", "4.1")
@pytest.mark.rfc("6098", "4.2")
def test_directions_and_codes_of_notifications():
    assert set(MessageDirection) == DIRECTION_NAMES.keys()
    assert set(NotificationCode) < NOTIFICATION_CODE_NAMES.keys()
    assert notification_code_name(133).endswith("notification Identification mismatch")
    assert notification_code_name(1) == "unassigned"


def test_the_two_extensions_of_type_154():
    assert extension_name(154, 1) == "Multipath"
    assert extension_name(154, 2) == "Flow-Binding"
