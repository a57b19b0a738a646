""".env files, read as the apps read them."""

import io
import re

# Lines that every reader of such files reads alike: a comment, a name and a value without quotes,
# spaces, escapes, expansions or comments behind it. What treedock writes itself is mostly of them.
_PLAIN = re.compile(r"(?:(?:#[^\r\n]*|[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_./:@,+-]*)?\n)*")


def values(text: str) -> dict[str, str]:
    """What an .env file assigns; `${...}` is left as it stands."""
    if text.isascii() and _PLAIN.fullmatch(text):
        lines = (line for line in text.split("\n") if line and not line.startswith("#"))
        return {name: value for name, _, value in (line.partition("=") for line in lines)}
    from dotenv import dotenv_values  # late: few files need it, and `exec` would pay for it

    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {key: value for key, value in found.items() if value is not None and "\0" not in value}
