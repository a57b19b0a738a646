"""A Compose file and its override as one document, by the rules of the Compose specification,
'Merge'."""

from typing import Any

from runner.domain.detect.compose_forms import pairs

_ASSIGNMENTS = {"environment", "labels", "args"}
_REPLACED = {"command", "entrypoint"}


def override_names(name: str) -> list[str]:
    """The override that Compose reads beside a file of this name, whichever ending it has."""
    stem, _, ending = name.rpartition(".")
    return [f"{stem}.override.{end}" for end in dict.fromkeys((ending, "yml", "yaml"))]


def merged(base: Any, over: Any, key: str = "", depth: int = 0) -> Any:
    """`over` upon `base`: mappings are merged, lists joined, anything else is replaced; the entries
    of an environment count by their names."""
    if key in _ASSIGNMENTS and base and over:
        return {**pairs(base), **pairs(over)}
    if key in _REPLACED or over is None or depth > 20:
        return base if over is None else over
    if isinstance(base, dict) and isinstance(over, dict):
        both = {
            name: merged(base.get(name), value, str(name), depth + 1)
            for name, value in over.items()
        }
        return {**base, **both}
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *(item for item in over if item not in base)]
    return over
