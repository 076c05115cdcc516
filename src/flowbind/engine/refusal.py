"""How an engine says no."""

from flowbind.wire.iana import ReplyCode


class Refused(Exception):
    """A request that is not granted. `code` None means silence (RFC 5944 3.8.2.1 a).

    `reason` is the stable name under which it is counted.
    """

    def __init__(self, reason: str, code: ReplyCode | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
