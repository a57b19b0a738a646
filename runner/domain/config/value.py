"""An effective value of the configuration."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """One key such as 'limits.memory', its value as YAML would have it, and its origin."""

    key: str
    value: Any
    origin: str
