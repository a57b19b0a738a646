"""What the examples of .env files ask for: keys that have no value in them."""

from collections.abc import Sequence

from runner.domain.detect.env_file import assignments
from runner.domain.detect.listing import Listing, join

NAMES = (".env.example", ".env.sample", ".env.template", ".env.dist")


def keys_without_value(listing: Listing, known: Sequence[str]) -> list[str]:
    """A sentence for each example that has keys without a value; those of `known` have one."""
    said = []
    for name in NAMES:
        for folder in listing.folders(name):
            values = assignments(listing.text(folder, name))
            empty = [key for key, value in values.items() if not value and key not in known]
            if empty and not listing.has(folder, ".env"):
                own = join(folder, ".env")
                path = join(folder, name)
                said.append(f"{path}: no value for {', '.join(empty)}; {own} has to give them")
    return said
