"""Lines for the operator, on standard error; the journal gets them with their level."""

import logging
import os
import sys

LEVELS = ("debug", "info", "warning", "error")

_JOURNAL_PRIORITY = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
}


class _JournalFormatter(logging.Formatter):
    """The journal keeps the time itself and reads the level from a prefix."""

    def format(self, record: logging.LogRecord) -> str:
        return _JOURNAL_PRIORITY.get(record.levelno, "<6>") + super().format(record)


def start_logging(level: str) -> None:
    """Write log lines of this level and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # asyncio and pyroute2 have much to say that is no operator's business.
    for name in ("asyncio", "pyroute2"):
        logging.getLogger(name).setLevel(logging.ERROR)
