"""The JSON Schema of treedock.yaml, with the text under each field as its description."""

import ast
import inspect
import json
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any

from runner.domain.config import project, sections
from runner.domain.config.project import Config
from runner.domain.config.sections import Section, key_of
from runner.domain.config.validate import adapter_of, plain


def schema() -> dict[str, Any]:
    """The JSON Schema of treedock.yaml, with the text under each field as its description."""
    whole = adapter_of(Config).json_schema(by_alias=True)
    models = {"Config": whole, **whole["$defs"]}
    for module in (sections, project):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef) and node.name in models:
                described = models[node.name].get("properties", {})
                for name, text in documentation(node).items():
                    described.get(key_of(name), {})["description"] = text
                for name, value in _made_defaults(getattr(module, node.name)).items():
                    described.get(key_of(name), {}).setdefault("default", value)
    return whole


def documentation(node: ast.ClassDef) -> dict[str, str]:
    """The string under each field of a class."""
    return {
        field.target.id: inspect.cleandoc(str(text.value.value))
        for field, text in pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def _made_defaults(model: Any) -> dict[str, Any]:
    """The defaults that a field makes for each use, lists and the like, as JSON has them."""
    made = {one.name: one.default_factory for one in fields(model)}
    values = {name: make() for name, make in made.items() if make is not MISSING}
    return dict(json.loads(json.dumps(values, default=_plain)))


def _plain(value: object) -> object:
    if isinstance(value, Section):
        return plain(value)
    return str(value)
