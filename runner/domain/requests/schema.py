"""The JSON Schema of the documents that --json prints."""

import ast
import inspect
import sys
from typing import Any

from pydantic import TypeAdapter

from runner.domain.answers import SCHEMA_VERSION, Answer
from runner.domain.config.schema import documentation


def schema_of(verb: str, answer: type[Answer]) -> dict[str, Any]:
    """The schema of a verb's document, with the text under each field as its description."""
    schema = TypeAdapter(answer).json_schema(mode="serialization")
    head = {
        "schema_version": {"type": "integer", "const": SCHEMA_VERSION},
        "verb": {"type": "string", "const": verb},
        "exit_code": {"type": "integer", "description": "What the command ends with."},
    }
    properties = {**schema["properties"], **head}
    for one in reversed(answer.__mro__):
        for name, text in _documentation(one).items():
            properties.setdefault(name, {}).setdefault("description", text)
    schema["properties"] = properties
    for model in [schema, *schema.get("$defs", {}).values()]:
        if "properties" in model:
            model |= {"required": sorted(model["properties"]), "additionalProperties": False}
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def _documentation(model: type) -> dict[str, str]:
    """The string under each field of a class of this project."""
    if model.__module__.partition(".")[0] != "runner":
        return {}
    module = ast.parse(inspect.getsource(sys.modules[model.__module__]))
    (node,) = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == model.__name__)
    return documentation(node)
