"""What the text of an .env file assigns."""

import re
from collections.abc import Iterator

_ASSIGNED = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def assignments(text: str) -> dict[str, str]:
    """What the text of an .env file assigns, as far as it says it plainly; a quoted value may have
    several lines."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        match = _ASSIGNED.match(line)
        if match and not line.startswith("#"):
            found[match[1]] = _unquoted(_whole(match[2], lines))
    return {key: value for key, value in found.items() if is_text(value)}


def _whole(value: str, lines: Iterator[str]) -> str:
    """A value whose quote stays open, with the lines up to the one that closes it."""
    if value[:1] in ("'", '"') and value[0] not in value[1:]:
        for line in lines:
            value += f"\n{line}"
            if value[0] in line:
                break
    return value


def is_text(value: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in value)


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return text.partition(" #")[0].strip()
