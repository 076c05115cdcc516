"""The names that the match language knows: protocols, services, code points.

From the IANA registries of protocol numbers, service names and DSCPs. The lists are our choice:
what an operator of a mobile network is likely to type.
"""

from typing import Final

PROTOCOLS: Final[dict[str, int]] = {
    "icmp": 1,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "sctp": 132,
    "udplite": 136,
}

PROTOCOLS_WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
PROTOCOLS_WITH_SPI: Final = frozenset({50, 51})

SERVICES: Final[dict[str, int]] = {
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "dns": 53,
    "tftp": 69,
    "http": 80,
    "pop3": 110,
    "ntp": 123,
    "imap": 143,
    "snmp": 161,
    "bgp": 179,
    "ldap": 389,
    "https": 443,
    "submissions": 465,
    "isakmp": 500,
    "ike": 500,
    "modbus": 502,
    "syslog": 514,
    "rtsp": 554,
    "submission": 587,
    "imaps": 993,
    "pop3s": 995,
    "openvpn": 1194,
    "mqtt": 1883,
    "nfs": 2049,
    "rdp": 3389,
    "stun": 3478,
    "ipsec-nat-t": 4500,
    "sip": 5060,
    "sips": 5061,
    "iperf3": 5201,
    "stuns": 5349,
    "coap": 5683,
    "coaps": 5684,
    "mqtts": 8883,
    "wireguard": 51820,
}

CODE_POINTS: Final[dict[str, int]] = {
    "default": 0,
    "le": 1,
    **{f"cs{number}": number << 3 for number in range(8)},
    **{f"af{row}{drop}": row << 3 | drop << 1 for row in range(1, 5) for drop in range(1, 4)},
    "voice-admit": 44,
    "ef": 46,
}

PROTOCOL_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}
CODE_POINT_NAMES: Final = {number: name for name, number in CODE_POINTS.items()}
