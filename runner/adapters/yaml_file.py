"""YAML files, read strictly."""

from pathlib import Path
from typing import Any

import yaml

from runner.domain.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader takes the last of two equal keys silently; this one refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key != "<<" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path) -> Any:
    """The document in `path`, None for an empty one. Raises ConfigError with line and column."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"There is no {path}.", hint="Write one with: treedock init") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="Mend that.") from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Any:
    """The document that `data` is; `where` names it in the ConfigError."""
    try:
        return yaml.load(data, _Loader)  # a SafeLoader: no objects are made
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} cannot be read: {error}", hint="Mend that line.") from error
