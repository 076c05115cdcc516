"""The home agent (RFC 5944 3.8, RFC 7629 5.2).

Supported standards: RFC 5944 for a home agent (timestamps and nonces; no foreign agent
security association yet), with agent discovery and ARP on a home link, RFC 3024 reverse tunnelling,
RFC 7629 in full, and in the other way where it can be read in two. RFC 2794, 3115, 4433, 4917 and
5446 as far as they are about a home agent and co-located nodes.
"""

from flowbind.engine.home_agent.agent import HomeAgent

__all__ = ["HomeAgent"]
