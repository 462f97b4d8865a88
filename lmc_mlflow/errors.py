"""Shortens an error to the one line that a message quotes, and leaves out what is secret."""

import os
import re

SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Environment variables whose values no text repeats."""
HIDDEN = "***"
_SHORTEST = 4
"""Characters from which on such a value is looked for: a shorter one stands in every other word."""
_PASSWORD = re.compile(r"(://[^\s/:@]*):(?!\d+(?:[/?#\s]|$))\S*@")
_OPTION = re.compile(r"([?&;](?:password|passwd|pwd|token|secret)[^=&\s]*=)[^&\s'\")]+", re.IGNORECASE)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has no text."""
    return without_secrets(next(iter(str(error).strip().splitlines()), type(error).__name__))


def without_secrets(text: str) -> str:
    """Replace the passwords of addresses in a text, and those of the environment, by stars."""
    for name in SECRETS:
        value = os.environ.get(name, "")
        text = text.replace(value, HIDDEN) if len(value) >= _SHORTEST else text
    return _OPTION.sub(rf"\1{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", text))
