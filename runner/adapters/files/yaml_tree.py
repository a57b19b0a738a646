"""YAML of strangers as a tree of texts, lists and mappings, bounded: anchors can make a small file
endless, and no one here knows what its numbers mean."""

from collections.abc import Iterator
from typing import Any

import yaml

from runner.domain.errors import ConfigError

SIZE = 2**18  # characters
ENTRIES = 20_000  # in the whole tree, with every alias written out
DEPTH = 40
TOO_MUCH = "it holds too much, or leads back to itself"

_MERGE, _NULL = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:null"


class _Loader(yaml.SafeLoader):
    """A scalar is its text, or None; `<<` merges; an unknown !tag is passed over."""

    yaml_implicit_resolvers = {  # noqa: RUF012, its own table instead of the class's above
        first: [(tag, pattern) for tag, pattern in known if tag in (_MERGE, _NULL)]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    nodes = depth = merged = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        self.depth += 1
        if self.nodes > ENTRIES or self.depth > DEPTH:
            raise ValueError(TOO_MUCH)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        merged = list(_merged(node))
        for one in {id(one): one for one in merged}.values():
            if one is not node:
                self.flatten_mapping(one)
        self.merged += sum(len(one.value) for one in merged)
        if self.merged > ENTRIES:  # merges of merges multiply
            raise ValueError(TOO_MUCH)
        super().flatten_mapping(node)


def _merged(node: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    """The mappings that `<<` names, each as often as it does."""
    for key, value in node.value:
        if key.tag == _MERGE:
            named = value.value if isinstance(value, yaml.SequenceNode) else [value]
            yield from (one for one in named if isinstance(one, yaml.MappingNode))


def _untagged(loader: _Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_Loader.add_multi_constructor("!", _untagged)


def parse(text: str, where: str) -> Any:
    """The document in `text`; `where` names it in the ConfigError."""
    try:
        if len(text) > SIZE:
            raise ValueError(TOO_MUCH)
        return _Copy().of(yaml.load(text, _Loader))  # a SafeLoader: no objects are made
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = TOO_MUCH if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ConfigError(f"{where} cannot be read: {said}", hint="Fix that line.") from error


class _Copy:
    """Writes out every alias; what leads back to itself, or is too much, is a ValueError."""

    def __init__(self) -> None:
        self.entries = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        self.entries += 1
        if self.entries > ENTRIES or depth > DEPTH:
            raise ValueError(TOO_MUCH)
        if isinstance(value, dict):
            return {str(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, depth + 1) for item in value]
        return None if value is None else str(value)
