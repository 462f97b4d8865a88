"""Shortens an error to one line and a value to what a line can hold, and leaves out what is secret."""

import os
import re

LONGEST = 200
"""Characters of a value or a reason that a message repeats."""
LONGEST_LINE = 10 * LONGEST
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Environment variables whose values no text repeats."""
HIDDEN = "***"
_SHORTEST = 4
"""Characters from which on such a value is looked for: a shorter one stands in every other word."""
_PASSWORD = re.compile(r"(://[^\s/:@]*):(?!\d+(?:[/?#\s]|$))\S*@")
_NOT_DETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation|Deterministic behavior was")
_OPTION = re.compile(r"([?&;](?:password|passwd|pwd|token|secret)[^=&\s]*=)[^&\s'\")]+", re.IGNORECASE)


def lacks_determinism(error: BaseException) -> bool:
    """Tell whether PyTorch has refused to compute because `deterministic=true` cannot hold."""
    return isinstance(error, RuntimeError) and _NOT_DETERMINISTIC.match(str(error)) is not None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has no text.

    A remark of SQLAlchemy that stands before the error itself is left out.
    """
    lines = (line for line in _text(error).strip().splitlines() if not line.startswith("(raised as a result of"))
    return shortened(without_secrets(next(lines, type(error).__name__)), 2 * LONGEST)


def one_line(error: BaseException) -> str:
    """Return an error's text in one line that a person can read: long values are cut, the way out at its end stays."""
    text = without_secrets(" ".join(_text(error).split())) or type(error).__name__
    text = re.sub(rf"\S{{{2 * LONGEST},}}", lambda found: shortened(found[0]), text)
    if len(text) <= LONGEST_LINE:
        return text
    end = LONGEST_LINE // 3
    return f"{text[: LONGEST_LINE - end]} ... ({len(text):,} characters) ... {text[-end:]}"


def _text(error: BaseException) -> str:
    """Return an error's text; what PyTorch says about determinism in terms of the option that asked for it."""
    found = _NOT_DETERMINISTIC.match(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return str(error)
    if found[1] is None:  # cuBLAS, under a setting of the user's own
        return "deterministic=true: set CUBLAS_WORKSPACE_CONFIG=:4096:8 before Python starts, or deterministic=false"
    return f"deterministic=true: PyTorch has no deterministic {found[1]} on this device; set deterministic=false"


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a text; of one with more characters the beginning, and how many it has."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def without_secrets(text: str) -> str:
    """Replace the passwords of addresses in a text, and those of the environment, by stars."""
    for name in SECRETS:
        value = os.environ.get(name, "")
        text = text.replace(value, HIDDEN) if len(value) >= _SHORTEST else text
    return _OPTION.sub(rf"\1{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", text))
