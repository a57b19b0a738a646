""".env files, read as the apps read them."""

import io


def values(text: str) -> dict[str, str]:
    """What an .env file assigns; `${...}` is left as it stands."""
    from dotenv import dotenv_values  # late: only an `up` reads one

    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {key: value for key, value in found.items() if value is not None and "\0" not in value}
