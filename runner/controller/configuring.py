"""`config show`: the effective value of every key and where it came from."""

from dataclasses import dataclass
from typing import Any

from runner.adapters import yaml_file
from runner.controller.opening import CONFIG_FILE, Project, user_config_path
from runner.domain.errors import RunnerError


@dataclass(frozen=True)
class Value:
    """One key such as 'limits.memory', its value as YAML would have it, and its origin."""

    key: str
    value: Any
    origin: str


def effective(project: Project) -> list[Value]:
    """Every key of treedock.yaml, then the user's own, with its effective value."""
    written = yaml_file.load(project.repository.checkout / CONFIG_FILE) or {}
    wanted = project.config.model_dump(mode="json", by_alias=True)
    values = [_inferred(project, value) for value in _flat(wanted, written, CONFIG_FILE)]
    path = user_config_path()
    own = yaml_file.load(path) if path.exists() else {}
    return values + _flat(project.user.model_dump(mode="json"), own or {}, str(path))


def _flat(values: dict[str, Any], written: Any, origin: str, prefix: str = "") -> list[Value]:
    """Nested keys as 'a.b.c'; a key that is written in the file comes from it."""
    found = []
    for key, value in values.items():
        inner = written.get(key) if isinstance(written, dict) else None
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found += _flat(value, inner, origin, f"{path}.")
        else:
            found.append(Value(path, value, "default" if inner is None else origin))
    return found


def _inferred(project: Project, value: Value) -> Value:
    if value.key == "name" and value.value is None:
        return Value("name", project.name, "the checkout folder's name")
    if value.key == "base" and value.value is None:
        try:
            return Value("base", project.base, "the repository's branches")
        except RunnerError as error:
            return Value("base", None, error.message)
    return value
