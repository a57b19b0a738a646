"""Text of strangers on its way into a sentence."""

import re
import shlex
from collections.abc import Sequence

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    r"\ufeff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """`text` on one line, with control characters, line ends, direction marks, what is no
    character and what was no UTF-8 escaped: a branch or file name may carry terminal escapes, or a
    sentence like ours."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class Lines(str):
    """Text that is escaped already: its line breaks are treedock's own. Only the functions of
    this module make it, of parts that are each escaped."""

    __slots__ = ()


def shown(text: str) -> Lines:
    """`text` as every message shows it: on one line and printable, unless it is `Lines`."""
    return text if isinstance(text, Lines) else Lines(printable(text))


def sentences(*parts: str) -> Lines:
    """These texts one behind the other, each as `shown` gives it; empty ones are left out."""
    return Lines(" ".join(shown(part) for part in parts if part))


def below_each_other(*parts: str) -> Lines:
    """These texts, each on lines of its own; empty ones are left out."""
    return Lines("\n".join(shown(part) for part in parts if part))


def shell_word(text: str) -> str:
    """`text` as one word of a command to type, printable itself: where that takes escapes as
    $'...', which bash, zsh and ksh know."""
    quoted = shlex.quote(text)
    if printable(quoted) == quoted:
        return quoted
    letters = (
        "".join(f"\\{byte:03o}" for byte in letter.encode(errors="surrogateescape"))
        if printable(letter) != letter or letter in "\\'"
        else letter
        for letter in text
    )
    return f"$'{''.join(letters)}'"


def with_last_lines(sentence: str, lines: Sequence[str], bound: int = 300) -> Lines:
    """`sentence`, and below it the end of what was printed, if there is any: each line on one
    line, of at most `bound` characters."""
    last = "".join(f"\n    {printable(shortened(line, bound))}" for line in lines)
    return Lines(f"{shown(sentence)} Its last lines:{last}") if lines else shown(sentence)


def without_lines(text: str) -> Lines:
    """What `with_last_lines` gave, with only the last of these lines, behind the sentence."""
    first, *lines = shown(text).split("\n")
    sentence = first.removesuffix(" Its last lines:")
    return Lines(f"{sentence} It ended with: {lines[-1].strip()}") if lines else Lines(sentence)


def with_words(sentence: str, said: str, bound: int = 1000) -> Lines:
    """`sentence`, and what another program said about it, of which the last `bound` characters
    count: behind it where that is one line, else below it."""
    words = said.strip()[-bound:].splitlines()
    if len(words) < 2:
        return shown(f"{sentence}: {words[0]}" if words else f"{sentence}.")
    below = "".join(f"\n    {printable(word)}" for word in words)
    return Lines(f"{shown(sentence)}:{below}")


def shortened(text: str, bound: int) -> str:
    """`text`, or its start and how many characters more there are."""
    rest = len(text) - bound
    return f"{text[:bound]}... ({rest} characters more)" if rest > 0 else text


def listed(names: Sequence[str], most: int = 10, *, count: int | None = None) -> str:
    """The first `most` of these names, each printable, and how many more there are of `count`
    (default: of these)."""
    shown = ", ".join(printable(name) for name in names[:most])
    rest = (len(names) if count is None else count) - len(names[:most])
    return f"{shown} and {rest} more" if rest > 0 else shown
