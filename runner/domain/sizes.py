"""Sizes in bytes, as people write them."""

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_size(value: object) -> int:
    """'2g' -> bytes; a number is bytes already. Units are powers of 1024, as Docker's are."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size such as 512m or 2g")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def format_size(size: int) -> str:
    """2147483648 -> '2g': the largest unit that divides it, so that parse_size gives it back."""
    unit = next(unit for unit in ("t", "g", "m", "k", "") if size % _UNITS[unit] == 0)
    return f"{size // _UNITS[unit]}{unit}"


def shown_size(size: int) -> str:
    """A size for people, in the largest unit of which it has one: '8 KiB', '1.5 GiB'."""
    unit, name = next(
        (
            (2**power, name)
            for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB"))
            if size >= 2**power
        ),
        (1, "bytes"),
    )
    return (
        f"{size / unit:.1f} {name}" if unit > 1 and size < 10 * unit else f"{size // unit} {name}"
    )
