"""What goes wrong in the lab, for the person in front of it: one line, no traceback."""


class LabError(Exception):
    """The lab cannot do what was asked; the text says what is missing or what happened."""
