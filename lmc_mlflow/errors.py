"""Shortens an error to the one line that a message quotes."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has no text.

    A remark of SQLAlchemy that stands before the error itself is left out.
    """
    lines = (line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result of"))
    return next(lines, type(error).__name__)
