"""The one place that reads the clock. Engines are told the time, they never ask."""

import time


def now() -> float:
    """Return Unix time in seconds."""
    return time.time()
