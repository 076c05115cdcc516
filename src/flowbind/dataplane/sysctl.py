"""Settings of the kernel, by their path below /proc/sys."""

from pathlib import Path


def write_sysctl(key: str, value: str) -> None:
    """Set a key, unless it has that value or is not there at all."""
    path = Path("/proc/sys", key)
    # Where /proc/sys is read-only, whoever made it so has set what is needed.
    if path.exists() and path.read_text().strip() != value:
        path.write_text(value)


def read_sysctl(key: str) -> str:
    """Return what a key is set to, nothing for one that is not there."""
    path = Path("/proc/sys", key)
    return path.read_text().strip() if path.exists() else ""
