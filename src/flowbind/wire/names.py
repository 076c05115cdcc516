"""What the assigned numbers are called, for people to read.

From the same registries as `iana.py`, but complete: it also names what flowbind does not speak. The
names of reply codes are those of the RFC that defines the code.
"""

from typing import Final

from flowbind.wire.extension import REGISTRY
from flowbind.wire.iana import ExtensionType, MultipathSubtype, RequestFlag, SelectorFormat

MESSAGE_NAMES: Final[dict[int, str]] = {
    1: "Registration Request",
    3: "Registration Reply",
    4: "MIP Tunnel Data",
    7: "Registration Revocation",
    15: "Registration Revocation Acknowledgment",
    16: "Low-Latency Handoff Request",
    17: "Low-Latency Handoff Reply",
    18: "Regional Registration Request",
    19: "Regional Registration Reply",
    20: "Fast Binding Update",
    21: "Fast Binding Acknowledgment",
    22: "Generic Notification",
    23: "Generic Notification Acknowledgment",
    24: "Home Test Init",
    25: "Care-of Test Init",
    26: "Home Test",
    27: "Care-of Test",
    255: "Experimental Message",
}
"""Message types of UDP port 434 (registry "Mobile IPv4 Message Types")."""

REQUEST_FLAG_NAMES: Final[dict[RequestFlag, tuple[str, str]]] = {
    RequestFlag.SIMULTANEOUS_BINDINGS: ("S", "Simultaneous bindings"),
    RequestFlag.BROADCAST_DATAGRAMS: ("B", "Broadcast datagrams"),
    RequestFlag.DECAPSULATION_BY_MOBILE_NODE: ("D", "Decapsulation by mobile node"),
    RequestFlag.MINIMAL_ENCAPSULATION: ("M", "Minimal encapsulation"),
    RequestFlag.GRE_ENCAPSULATION: ("G", "GRE encapsulation"),
    RequestFlag.RESERVED_R: ("r", "reserved"),
    RequestFlag.REVERSE_TUNNELING: ("T", "Reverse Tunneling requested"),
    RequestFlag.RESERVED_X: ("x", "reserved"),
}
"""Letter and name of each flag of a Registration Request (RFC 5944 3.3), in the order of bits."""

REPLY_CODE_NAMES: Final[dict[int, str]] = {
    0: "registration accepted",
    1: "registration accepted, but simultaneous mobility bindings unsupported",
    2: "concurrent registration (pre-accept)",
    64: "reason unspecified",
    65: "administratively prohibited",
    66: "insufficient resources",
    67: "mobile node failed authentication",
    68: "home agent failed authentication",
    69: "requested Lifetime too long",
    70: "poorly formed Request",
    71: "poorly formed Reply",
    72: "requested encapsulation unavailable",
    73: "reserved and unavailable",
    74: "requested reverse tunnel unavailable",
    75: "reverse tunnel is mandatory and 'T' bit not set",
    76: "mobile node too distant",
    77: "invalid care-of address",
    78: "registration timeout",
    79: "delivery style not supported",
    80: "home network unreachable (ICMP error received)",
    81: "home agent host unreachable (ICMP error received)",
    82: "home agent port unreachable (ICMP error received)",
    88: "home agent unreachable (other ICMP error received)",
    89: "vendor specific reason",
    90: "NONZERO-HA-REQD",
    96: "NONZERO_HOMEADDR_REQD",
    97: "MISSING_NAI",
    98: "MISSING_HOME_AGENT",
    99: "MISSING_HOMEADDR",
    100: "ERROR-FA-1",
    101: "ERROR-FA-2",
    104: "UNKNOWN_CHALLENGE",
    105: "MISSING_CHALLENGE",
    106: "STALE_CHALLENGE",
    107: "MISSING_MN_FA",
    108: "FA_BAD_AAA_AUTH",
    109: "HA_WRONG_CHALLENGE",
    110: "REPLAY_PROT_UNAVAIL",
    111: "ZERO_COA_NOT_SUPP",
    112: "UNKNOWN_GFA",
    113: "GFA_UNREACHABLE",
    114: "GFA_HOST_UNREACHABLE",
    115: "GFA_PORT_UNREACHABLE",
    116: "Invalid Home Agent Address",
    127: "experimental",
    128: "reason unspecified",
    129: "administratively prohibited",
    130: "insufficient resources",
    131: "mobile node failed authentication",
    132: "foreign agent failed authentication",
    133: "registration Identification mismatch",
    134: "poorly formed Request",
    135: "too many simultaneous mobility bindings",
    136: "unknown home agent address",
    137: "requested reverse tunnel unavailable",
    138: "reverse tunnel is mandatory and 'T' bit not set",
    139: "requested encapsulation unavailable",
    140: "ERROR-HA-1",
    141: "ERROR-HA-2",
    142: "requested UDP tunnel encapsulation unavailable",
    143: "REDIRECT-HA-REQ",
    144: "HA_BAD_AAA_AUTH",
    145: "ZERO_CAREOF_ADDRESS",
    146: "DYN_GFA_NOT_SUPP",
    147: "HA_MOBNET_ERROR",
    148: "HA_MOBNET_DISALLOWED",
    149: "PMIP_UNSUPPORTED",
    150: "PMIP_DISALLOWED",
    151: "SERVICE_AUTHORIZATION_FAILED",
    152: "MULTIPATH_NOT_ALLOWED",
    153: "INVALID_FB_IDENTIFIER",
    192: "experimental",
    193: "NO_HOME_REG",
    194: "Invalid Home Agent Address (as RFC 5944 misprints 116)",
    201: "expired home nonce index",
    202: "expired care-of nonce index",
    203: "expired nonces",
}
"""Code of a Registration Reply (RFC 5944 3.4 and the RFCs that add to it)."""

ACCESS_TECHNOLOGY_NAMES: Final[dict[int, str]] = {
    0: "reserved",
    1: "virtual",
    2: "PPP",
    3: "IEEE 802.3",
    4: "IEEE 802.11a/b/g",
    5: "IEEE 802.16e",
    6: "3GPP GERAN",
    7: "3GPP UTRAN",
    8: "3GPP E-UTRAN",
    9: "3GPP2 eHRPD",
    10: "3GPP2 HRPD",
    11: "3GPP2 1xRTT",
    12: "3GPP2 UMB",
    13: "3GPP NB-IoT",
}
"""If-ATT (registry "Access Technology Type Option type values" of RFC 5213)."""

DIRECTION_NAMES: Final[dict[int, str]] = {
    0: "home agent to mobile node",
    1: "home agent to foreign agent",
    2: "mobile node to home agent",
    3: "mobile node to foreign agent",
    4: "foreign agent to mobile node",
    5: "foreign agent to home agent",
}
"""MD of the generic notification messages (RFC 6098 4.1)."""

NOTIFICATION_CODE_NAMES: Final[dict[int, str]] = {
    0: "notification accepted",
    64: "denied by the foreign agent: reason unspecified",
    65: "denied by the foreign agent: administratively prohibited",
    66: "denied by the foreign agent: insufficient resources",
    67: "denied by the foreign agent: mobile node failed authentication",
    68: "denied by the foreign agent: home agent failed authentication",
    69: "denied by the foreign agent: notification Identification mismatch",
    128: "denied by the home agent: reason unspecified",
    129: "denied by the home agent: administratively prohibited",
    130: "denied by the home agent: insufficient resources",
    131: "denied by the home agent: mobile node failed authentication",
    132: "denied by the home agent: foreign agent failed authentication",
    133: "denied by the home agent: notification Identification mismatch",
    192: "denied by the mobile node: reason unspecified",
    193: "denied by the mobile node: administratively prohibited",
    194: "denied by the mobile node: insufficient resources",
    195: "denied by the mobile node: foreign agent failed authentication",
    196: "denied by the mobile node: home agent failed authentication",
    197: "denied by the mobile node: notification Identification mismatch",
}
"""Code of a Generic Notification Acknowledgment (RFC 6098 4.2)."""

SELECTOR_FORMAT_NAMES: Final[dict[SelectorFormat, str]] = {
    SelectorFormat.IPV4_BINARY: "IPv4 binary traffic selector",
    SelectorFormat.IPV6_BINARY: "IPv6 binary traffic selector",
}
"""TS Format (RFC 6088 section 3)."""

SUBTYPE_NAMES: Final[dict[int, dict[int, str]]] = {
    36: {
        1: "Mobile-AAA Authentication",
        2: "FA-FA Authentication",
        3: "MN-GFA Authentication",
        4: "MN-PAR Authentication",
    },
    40: {1: "from AAA"},
    41: {1: "from AAA"},
    42: {1: "from AAA"},
    43: {1: "from AAA"},
    44: {0: "UDP Tunnel Reply"},
    45: {0: "FA Error"},
    47: {1: "Per-Node Authentication Method"},
    48: {0: "GRE Key"},
    49: {
        1: "Route Optimization Reply",
        2: "Mobile-Correspondent Authentication",
        3: "Care-of Address",
    },
    50: {1: "Route Optimization Prefix Advertisement"},
    136: {1: "Home Agent Identity", 2: "AAAH Identity", 3: "FA-NAI"},
    138: {
        1: "3GPP2 IMSI and Connection ID",
        2: "3GPP IMSI",
        3: "Ethernet 48-bit MAC address",
        4: "64-bit Global ID, EUI-64",
        5: "Solicited IPv4 Address",
        6: "Access Point Identifier",
        7: "FA IPv4 Address",
    },
    139: {1: "Requested HA", 2: "Redirected HA"},
    144: {0: "UDP Tunnel Request"},
    145: {1: "from the home agent", 2: "from the foreign agent"},
    147: {1: "Interface ID", 2: "Device ID", 3: "Subscriber ID", 4: "Access Technology Type"},
    148: {
        0: "Mobile Network Request",
        1: "Explicit Mode Acknowledgement",
        2: "Implicit Mode Acknowledgement",
    },
    149: {0: "Trusted Networks Configured"},
    152: {1: "IPv6 Prefix Request", 2: "IPv6 Prefix Reply", 3: "IPv6 Tunneling Mode"},
    153: {1: "Mobile Router Route Optimization Capability"},
    154: {1: "Multipath", 2: "Flow-Binding"},
}
"""Subtypes of the extensions that have any; one that is alone is called as its type is."""

UNASSIGNED: Final = "unassigned"

_LAST_ACCEPTING_CODE: Final = 8
_FIRST_FOREIGN_AGENT_CODE: Final = 64
_FIRST_HOME_AGENT_CODE: Final = 128
_LAST_HOME_AGENT_CODE: Final = 192


def reply_code_name(code: int) -> str:
    """Say what a reply code means."""
    return REPLY_CODE_NAMES.get(code, UNASSIGNED)


def notification_code_name(code: int) -> str:
    """Say what the code of a Generic Notification Acknowledgment means."""
    return NOTIFICATION_CODE_NAMES.get(code, UNASSIGNED)


def reply_code_class(code: int) -> str:
    """Say who decided what: the ranges of RFC 5944 3.4 hold for codes without a name too."""
    if code <= _LAST_ACCEPTING_CODE:
        return "accepted"
    if _FIRST_FOREIGN_AGENT_CODE <= code < _FIRST_HOME_AGENT_CODE:
        return "denied by the foreign agent"
    if _FIRST_HOME_AGENT_CODE <= code <= _LAST_HOME_AGENT_CODE:
        return "denied by the home agent"
    return "denied"


def access_technology_name(number: int) -> str:
    """Say what an If-ATT means."""
    return ACCESS_TECHNOLOGY_NAMES.get(number, UNASSIGNED)


def extension_name(extension_type: int, subtype: int | None = None) -> str:
    """Say what an extension is called."""
    if extension_type == ExtensionType.MULTIPATH and subtype == MultipathSubtype.FLOW_BINDING:
        return "Flow-Binding"
    registered = REGISTRY.get(extension_type)
    return registered.name if registered else UNASSIGNED


def subtype_name(extension_type: int, subtype: int) -> str:
    """Say what a subtype of an extension is called."""
    return SUBTYPE_NAMES.get(extension_type, {}).get(subtype, UNASSIGNED)
