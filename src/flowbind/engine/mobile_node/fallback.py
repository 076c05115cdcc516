"""Multipath or plain RFC 5944: `multipath = "require" | "prefer" | "off"` (RFC 7629 5.1).

An agent that knows no RFC 7629 does not refuse a request with its extensions, it ignores it: type
154 reads as an extension that must not be skipped. So does a path that is broken. Silence alone
therefore decides nothing: after some of it a request is tried plainly, and only the answer to that
makes the node a plain one, for a while. Code 152 does so for good.
"""

from typing import Final

from flowbind.engine.mobile_node.state import Intent

SILENT_TRIES: Final = 3
"""Unanswered tries after which an agent is suspected of not knowing RFC 7629."""
PLAIN_FOR_S: Final = 300.0


class Fallback:
    """Whether requests carry the Multipath extension."""

    def __init__(self, multipath: str) -> None:
        self._allowed = multipath == "prefer"
        self._plain_until = float("inf") if multipath == "off" else float("-inf")
        self.multipath_known = False

    def is_plain(self, now: float) -> bool:
        """Tell whether the node does without multipath."""
        return now < self._plain_until

    def suspects(self, intent: Intent) -> bool:
        """Tell whether the next try of a registration should be a plain one: every other."""
        over = intent.silent - SILENT_TRIES
        return self._allowed and not self.multipath_known and over >= 0 and over % 2 == 0

    def denied(self, now: float, for_s: float) -> bool:
        """The home agent refuses multipath; tells whether the node may do without."""
        if self._allowed:
            self._plain_until = now + for_s
        return self._allowed

    def accepted(self, now: float, *, plain: bool) -> None:
        """The home agent accepted a registration of this kind."""
        if not plain:
            self.multipath_known = True
        elif not self.is_plain(now):
            self._plain_until = now + PLAIN_FOR_S
