"""Assigned numbers of Mobile IPv4, in one place.

From the IANA registries "Mobile IPv4 Numbers" (https://www.iana.org/assignments/mobileip-numbers)
and "Mobility Parameters" (https://www.iana.org/assignments/mobility-parameters). A trap: the access
technology of RFC 7629 is the registry of RFC 5213, not the one of RFC 5563 with the same name.
"""

from enum import IntEnum, IntFlag, unique
from ipaddress import IPv4Address
from typing import Final

MOBILE_IP_PORT: Final = 434
INFINITE_LIFETIME_S: Final = 0xFFFF

ALL_SYSTEMS: Final = IPv4Address("224.0.0.1")
ALL_ROUTERS: Final = IPv4Address("224.0.0.2")
MOBILE_AGENTS: Final = IPv4Address("224.0.0.11")


@unique
class MessageType(IntEnum):
    """Messages on UDP port 434 that flowbind speaks."""

    REGISTRATION_REQUEST = 1
    REGISTRATION_REPLY = 3
    TUNNEL_DATA = 4
    REVOCATION = 7
    REVOCATION_ACKNOWLEDGMENT = 15
    GENERIC_NOTIFICATION = 22
    GENERIC_NOTIFICATION_ACKNOWLEDGMENT = 23


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
    FA_NONZERO_HOME_AGENT_REQUIRED = 90
    FA_BAD_AAA_AUTHENTICATION = 108
    FA_WRONG_CHALLENGE = 109
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
    VENDOR_EXTENSION_OF_MOBILE_NODE_UNKNOWN = 140
    VENDOR_EXTENSION_OF_FOREIGN_AGENT_UNKNOWN = 141
    UDP_ENCAPSULATION_UNAVAILABLE = 142
    REDIRECT_HOME_AGENT = 143
    BAD_AAA_AUTHENTICATION = 144
    SERVICE_AUTHORIZATION_FAILED = 151
    MULTIPATH_NOT_ALLOWED = 152
    INVALID_FB_IDENTIFIER = 153


@unique
class ExtensionType(IntEnum):
    """Extensions of control messages that flowbind gives a meaning to."""

    PADDING = 0
    MOBILE_HOME_AUTHENTICATION = 32
    MOBILE_FOREIGN_AUTHENTICATION = 33
    FOREIGN_HOME_AUTHENTICATION = 34
    GENERALIZED_AUTHENTICATION = 36
    CRITICAL_VENDOR = 38
    UDP_TUNNEL_REPLY = 44
    FA_ERROR = 45
    GRE_KEY = 48
    NAI = 131
    CHALLENGE = 132
    NORMAL_VENDOR = 134
    REVOCATION_SUPPORT = 137
    DYNAMIC_HOME_AGENT = 139
    UDP_TUNNEL_REQUEST = 144
    MESSAGE_STRING = 145
    SERVICE_SELECTION = 151
    DUAL_STACK = 152
    MULTIPATH = 154


@unique
class MultipathSubtype(IntEnum):
    """Subtypes of extension type 154 (RFC 7629 section 7)."""

    MULTIPATH = 1
    FLOW_BINDING = 2


class DualStackSubtype(IntEnum):
    """Subtypes of extension type 152 (RFC 5454 section 5)."""

    PREFIX_REQUEST = 1
    PREFIX_REPLY = 2
    TUNNELING_MODE = 3


@unique
class Ipv6PrefixCode(IntEnum):
    """Codes of the IPv6 Prefix Reply (RFC 5454 2.2); others below 8 accept, all above reject."""

    ACCEPTED_TO_HOME_ADDRESS = 0
    ACCEPTED_TO_CARE_OF_ADDRESS = 1
    REJECTED = 8
    ADMINISTRATIVELY_PROHIBITED = 9


class GeneralizedAuthenticationSubtype(IntEnum):
    """Subtypes of extension type 36 (RFC 4721 section 6 and the RFCs that add to it)."""

    MN_AAA = 1
    FA_FA = 2
    MN_GFA = 3
    MN_PAR = 4


@unique
class DynamicHomeAgentSubtype(IntEnum):
    """Subtypes of extension type 139 (RFC 4433 sections 3.4 and 3.5)."""

    REQUESTED = 1
    REDIRECTED = 2


@unique
class MessageStringSubtype(IntEnum):
    """Who wrote a Message String (RFC 4917 section 2)."""

    HOME_AGENT = 1
    FOREIGN_AGENT = 2


@unique
class MessageDirection(IntEnum):
    """MD of the generic notification messages (RFC 6098 4.1): from whom to whom."""

    HOME_AGENT_TO_MOBILE_NODE = 0
    HOME_AGENT_TO_FOREIGN_AGENT = 1
    MOBILE_NODE_TO_HOME_AGENT = 2
    MOBILE_NODE_TO_FOREIGN_AGENT = 3
    FOREIGN_AGENT_TO_MOBILE_NODE = 4
    FOREIGN_AGENT_TO_HOME_AGENT = 5


@unique
class NotificationCode(IntEnum):
    """Code of a Generic Notification Acknowledgment (RFC 6098 4.2), of home agent and node."""

    ACCEPTED = 0
    HOME_AGENT_UNSPECIFIED = 128
    HOME_AGENT_ADMINISTRATIVELY_PROHIBITED = 129
    HOME_AGENT_INSUFFICIENT_RESOURCES = 130
    HOME_AGENT_MOBILE_NODE_FAILED_AUTHENTICATION = 131
    HOME_AGENT_FOREIGN_AGENT_FAILED_AUTHENTICATION = 132
    HOME_AGENT_IDENTIFICATION_MISMATCH = 133
    MOBILE_NODE_UNSPECIFIED = 192
    MOBILE_NODE_ADMINISTRATIVELY_PROHIBITED = 193
    MOBILE_NODE_INSUFFICIENT_RESOURCES = 194
    MOBILE_NODE_FOREIGN_AGENT_FAILED_AUTHENTICATION = 195
    MOBILE_NODE_HOME_AGENT_FAILED_AUTHENTICATION = 196
    MOBILE_NODE_IDENTIFICATION_MISMATCH = 197


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
class IcmpType(IntEnum):
    """ICMP messages: errors (RFC 792), and agent discovery (RFC 1256)."""

    DESTINATION_UNREACHABLE = 3
    ROUTER_ADVERTISEMENT = 9
    ROUTER_SOLICITATION = 10
    TIME_EXCEEDED = 11


@unique
class DiscoveryExtensionType(IntEnum):
    """Extensions of Agent Advertisements, a space of their own (RFC 5944 1.8, 2.1)."""

    PADDING = 0
    MOBILITY_AGENT = 16
    PREFIX_LENGTHS = 19


class AgentFlag(IntFlag):
    """Flags of the Mobility Agent Advertisement extension (RFC 5944 2.1.1)."""

    REGISTRATION_REQUIRED = 0x8000
    BUSY = 0x4000
    HOME_AGENT = 0x2000
    FOREIGN_AGENT = 0x1000
    MINIMAL_ENCAPSULATION = 0x0800
    GRE_ENCAPSULATION = 0x0400
    REVERSE_TUNNELING = 0x0100
    UDP_TUNNELING = 0x0080
    REVOCATION = 0x0040
    REGIONAL_REGISTRATION = 0x0020


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
