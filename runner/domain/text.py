"""Text of strangers on its way into a sentence."""

import re
from collections.abc import Sequence

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\udc80-\udcff]"
)


def printable(text: str) -> str:
    """`text` on one line, with control characters, line ends, direction marks and what was no
    UTF-8 escaped: a branch or file name may carry terminal escapes, or a sentence like ours."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def with_last_lines(sentence: str, lines: Sequence[str]) -> str:
    """`sentence`, and below it the end of what was printed, if there is any."""
    last = "".join(f"\n    {line}" for line in lines)
    return f"{sentence} Its last lines:{last}" if lines else sentence


def listed(names: "list[str] | tuple[str, ...]", most: int = 10) -> str:
    """The first `most` of these names, each printable, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    rest = len(names) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
