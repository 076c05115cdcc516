"""Why a daemon cannot start, or not go on."""


class DaemonError(Exception):
    """One line for the operator: what could not be had, and why."""
