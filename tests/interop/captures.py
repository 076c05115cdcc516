"""Captures made for tshark, and what it makes of them: one call for many packets."""

import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from ipaddress import IPv4Address

from tests.docs.documents import ROOT

DISSECTOR = ROOT / "tools" / "wireshark" / "flowbind.lua"
NODE, AGENT = IPv4Address("198.51.100.7"), IPv4Address("192.0.2.1")
PORT = 434
UDP, IP_IN_IP = 17, 4

_FILE_HEADER = struct.Struct("<IHHiIII")
_RECORD_HEADER = struct.Struct("<IIII")
_RAW_IP = 101


def in_ip(content, protocol=UDP):
    """An IPv4 packet with this content. Its checksum is 0, which tshark does not look at."""
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(content), 0, 0, 64, protocol, 0, NODE.packed, AGENT.packed),
    )
    return header + content


def in_udp(payload):
    """A packet from the mobile node to the home agent with this message."""
    return in_ip(struct.pack("!HHHH", 40000, PORT, 8 + len(payload), 0) + payload)


def write(path, packets, snap_octets=65535):
    with path.open("wb") as file:
        file.write(_FILE_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, snap_octets, _RAW_IP))
        for at, packet in enumerate(packets):
            kept = packet[:snap_octets]
            file.write(_RECORD_HEADER.pack(1000 + at, 0, len(kept), len(packet)) + kept)


def tshark(*arguments):
    """What tshark with the dissector prints."""
    assert shutil.which("tshark"), "tshark is not installed: tools/install does it"
    # Behind the others, because -G must be the first. -n, or it asks a name server for names.
    command = ["tshark", *map(str, arguments), "-X", f"lua_script:{DISSECTOR}", "-n"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    words = [line for line in done.stderr.splitlines() if not line.startswith("Running as user")]
    assert (done.returncode, words) == (0, []), f"tshark: {done.stderr}"
    return done.stdout


def dissected(path, packets, *options, snap_octets=65535):
    """Each packet as tshark shows it with the dissector, in PDML, which keeps what JSON loses."""
    write(path, packets, snap_octets)
    document = tshark("-r", path, "-T", "pdml", *options)
    found = ET.fromstring(document).findall("packet")  # noqa: S314 - made by tshark here
    assert len(found) == len(packets)
    protocols = [field.get("show", "") for field in found[0].iter("field") if _tells(field)]
    assert any("flowbind" in each for each in protocols), (
        "tshark has not loaded the dissector: as root it needs run_user_scripts_when_superuser "
        "in /etc/wireshark/init.lua, see docs/wireshark.md"
    )
    return found


def _tells(field):
    return field.get("name") == "frame.protocols"


def errors_of_lua(packet):
    """The errors of a script are on nobody's standard error: they are shown in the packet."""
    return [
        field.get("showname")
        for field in packet.iter("field")
        if field.get("name") in {"_ws.lua.error", "_ws.lua.fatal"}
    ]
