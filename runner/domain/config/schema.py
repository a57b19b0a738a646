"""The JSON Schema of treedock.yaml, with the text under each field as its description."""

import ast
import inspect
from itertools import pairwise
from typing import Any

from runner.domain.config import project, sections
from runner.domain.config.project import Config
from runner.domain.config.sections import Model
from runner.domain.sizes import format_size as format_size
from runner.domain.sizes import parse_size as parse_size


def schema() -> dict[str, Any]:
    """The JSON Schema of treedock.yaml, with the text under each field as its description."""
    whole = Config.model_json_schema(by_alias=True)
    models = {"Config": whole, **whole["$defs"]}
    for name, fields in _documentation().items():
        for field, text in fields.items():
            models.get(name, {}).get("properties", {}).get(field, {})["description"] = text
    return whole


def _documentation() -> dict[str, dict[str, str]]:
    """The string under each field of each model, by the field's key in YAML.

    Read from the source when it is asked for: pydantic's own way of doing it
    (use_attribute_docstrings) reads it at every start, which takes 40 ms.
    """
    found: dict[str, dict[str, str]] = {}
    for module in (sections, project):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef) and issubclass(getattr(module, node.name), Model):
                fields = getattr(module, node.name).model_fields
                found[node.name] = {
                    fields[field.target.id].alias or field.target.id: inspect.cleandoc(
                        str(text.value.value)
                    )
                    for field, text in pairwise(node.body)
                    if isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                }
    return found
