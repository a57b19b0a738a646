"""YAML files, read strictly."""

from pathlib import Path
from typing import Any

import yaml

from runner.domain.errors import ConfigError
from runner.domain.text import with_words


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

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """YAML 1.1 reads 0512 as 330 and 1:30 as 90, which is never what is meant."""
        number: int = super().construct_yaml_int(node)
        text = node.value.lstrip("+-")
        if ":" in text or (text[:1] == "0" and text.isdecimal() and len(text) > 1):
            plain = text.lstrip("0") or "0"
            way = f"write {plain}" if ":" not in text else "it has to be one number"
            raise yaml.constructor.ConstructorError(
                None, None, f"YAML reads {node.value} as {number}: {way}, or put it into quotes",
                node.start_mark,
            )  # fmt: skip
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def load(path: Path) -> Any:
    """The document in `path`, None for an empty one. Raises ConfigError with line and column."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"There is no {path}.", hint="Write one with: treedock init") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="Fix the file.") from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Any:
    """The document that `data` is; `where` names it in the ConfigError."""
    try:
        return yaml.load(data, _Loader)  # a SafeLoader: no objects are made
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = with_words(f"{where} cannot be read", str(error))
        raise ConfigError(said, hint="Fix that line.") from error
