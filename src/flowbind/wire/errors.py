"""The one exception that leaves a decoder."""

from flowbind.wire.iana import ReplyCode


class WireError(ValueError):
    """Octets that are not the message they claim to be.

    `reason` is the stable name under which the refusal is counted. `code` is the reply code a home
    agent answers with once the sender is authenticated, or None where the RFC asks for silence.
    """

    def __init__(self, reason: str, detail: str = "", code: ReplyCode | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.code = code
