"""The mobile node (RFC 5944 3.6, RFC 7629 5.1).

Supported standards: RFC 5944 with a co-located care-of address on each interface, timestamps and
nonces, and at home (agent discovery, 2.4, 4.6), RFC 3024 reverse tunnelling, RFC 7629 with policy
exchange in both directions and fallback to plain RFC 5944. RFC 2794, 3115, 4433, 4636, 4917 and
5446 as far as they are about a co-located node.
"""

from flowbind.engine.mobile_node.node import MobileNode

__all__ = ["MobileNode"]
