"""Names on the wire."""


def name_of(data: bytes) -> str:
    """Return the name that the octets are in UTF-8, "" if they are none.

    Control characters are in no grammar of names, and would reach logs and terminals.
    """
    try:
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return name if name.isprintable() else ""
