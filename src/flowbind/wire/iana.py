"""Assigned numbers of Mobile IPv4, in one place.

From the IANA registries "Mobile IPv4 Numbers" (https://www.iana.org/assignments/mobileip-numbers)
and "Mobility Parameters" (https://www.iana.org/assignments/mobility-parameters). A trap: the access
technology of RFC 7629 is the registry of RFC 5213, not the one of RFC 5563 with the same name.
"""

from enum import IntEnum, IntFlag, unique
from typing import Final

MOBILE_IP_PORT: Final = 434
INFINITE_LIFETIME_S: Final = 0xFFFF


@unique
class MessageType(IntEnum):
    """Messages on UDP port 434 that flowbind speaks."""

    REGISTRATION_REQUEST = 1
    REGISTRATION_REPLY = 3
    TUNNEL_DATA = 4


class RequestFlag(IntFlag):
    """Flags of a Registration Request (RFC 5944 3.3, RFC 3024 3.2)."""

    SIMULTANEOUS_BINDINGS = 0x80
    BROADCAST_DATAGRAMS = 0x40
    DECAPSULATION_BY_MOBILE_NODE = 0x20
    MINIMAL_ENCAPSULATION = 0x10
    GRE_ENCAPSULATION = 0x08
    RESERVED_R = 0x04
    REVERSE_TUNNELING = 0x02
    RESERVED_X = 0x01


@unique
class ReplyCode(IntEnum):
    """Code field of a Registration Reply (RFC 5944 3.4 and the extensions to it)."""

    ACCEPTED = 0
    ACCEPTED_NO_SIMULTANEOUS_BINDINGS = 1
    FA_UNSPECIFIED = 64
    FA_ADMINISTRATIVELY_PROHIBITED = 65
    FA_INSUFFICIENT_RESOURCES = 66
    FA_MOBILE_NODE_FAILED_AUTHENTICATION = 67
    FA_HOME_AGENT_FAILED_AUTHENTICATION = 68
    FA_LIFETIME_TOO_LONG = 69
    FA_POORLY_FORMED_REQUEST = 70
    FA_POORLY_FORMED_REPLY = 71
    FA_ENCAPSULATION_UNAVAILABLE = 72
    UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    MOBILE_NODE_FAILED_AUTHENTICATION = 131
    FOREIGN_AGENT_FAILED_AUTHENTICATION = 132
    IDENTIFICATION_MISMATCH = 133
    POORLY_FORMED_REQUEST = 134
    TOO_MANY_BINDINGS = 135
    UNKNOWN_HOME_AGENT_ADDRESS = 136
    REVERSE_TUNNEL_UNAVAILABLE = 137
    REVERSE_TUNNEL_MANDATORY = 138
    ENCAPSULATION_UNAVAILABLE = 139
    UDP_ENCAPSULATION_UNAVAILABLE = 142
    MULTIPATH_NOT_ALLOWED = 152
    INVALID_FB_IDENTIFIER = 153


@unique
class ExtensionType(IntEnum):
    """Extensions of control messages that flowbind gives a meaning to."""

    PADDING = 0
    MOBILE_HOME_AUTHENTICATION = 32
    MOBILE_FOREIGN_AUTHENTICATION = 33
    FOREIGN_HOME_AUTHENTICATION = 34
    NAI = 131
    MULTIPATH = 154


@unique
class MultipathSubtype(IntEnum):
    """Subtypes of extension type 154 (RFC 7629 section 7)."""

    MULTIPATH = 1
    FLOW_BINDING = 2


class MultipathFlag(IntFlag):
    """Flags of the Multipath extension (RFC 7629 4.1)."""

    BULK_REREGISTRATION = 0x80
    OVERWRITE = 0x40


@unique
class FlowAction(IntEnum):
    """Action of the Flow-Binding extension (RFC 7629 4.2)."""

    DROP = 0
    FORWARD = 1


@unique
class SelectorFormat(IntEnum):
    """TS Format of the Flow-Binding extension (RFC 6088 section 3)."""

    IPV4_BINARY = 1
    IPV6_BINARY = 2


@unique
class AccessTechnology(IntEnum):
    """Access technology types (RFC 5213 8.5)."""

    RESERVED = 0
    VIRTUAL = 1
    PPP = 2
    ETHERNET = 3
    WLAN = 4
    WIMAX = 5
    GERAN = 6
    UTRAN = 7
    LTE = 8
    EHRPD = 9
    HRPD = 10
    CDMA_1XRTT = 11
    UMB = 12
    NB_IOT = 13
