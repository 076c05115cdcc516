"""How an invariant says that it does not hold."""


class ViolationError(AssertionError):
    """Something that must hold does not."""


def require(condition: object, text: str) -> None:
    """Raise ViolationError unless this holds."""
    if not condition:
        raise ViolationError(text)
