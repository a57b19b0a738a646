"""A configuration from what YAML gave, or every fault of it in plain words."""

from collections.abc import Callable, Hashable
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from runner.domain.config.project import Config, UserConfig
from runner.domain.config.wrong_value import wrong_value
from runner.domain.errors import ConfigError
from runner.domain.text import below_each_other

_Any = TypeVar("_Any")


@cache
def adapter_of(model: Hashable) -> TypeAdapter[Any]:
    """What pydantic makes of a dataclass of this folder: it validates, dumps, and has a schema."""
    return TypeAdapter(cast(Any, model))


def plain(config: object) -> dict[str, Any]:
    """A configuration as treedock.yaml would have it, with every key."""
    return dict(
        adapter_of(cast(Hashable, type(config))).dump_python(config, mode="json", by_alias=True)
    )


def validate(data: object, where: str) -> Config:
    """A configuration from what YAML gave. Raises ConfigError, naming the key and `where`."""
    return _validated(Config, {} if data is None else data, where)


def validate_user(data: object, where: str) -> UserConfig:
    """The same for the user's own configuration."""
    return _validated(UserConfig, {} if data is None else data, where)


def _validated(model: Callable[..., _Any], data: object, where: str) -> _Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{where} has to hold keys and values at its top.", hint=_HELP)
    if model is Config and "sandbox" in data:
        raise ConfigError(
            f"{where}: sandbox: keys that weaken the sandbox are read from your own "
            "configuration only, never from a repository.",
            hint="Move `sandbox:` to ~/.config/treedock/config.yaml.",
        )
    try:
        return cast(_Any, adapter_of(model).validate_python(data))
    except ValidationError as error:
        problems = [dict(problem) for problem in error.errors()]
        meant = [problem for problem in problems if not _is_other_branch(problem)]
        sentences = [_sentence(model, problem) for problem in meant]
        faults = below_each_other(*(f"{where}: {text}" for text in sentences))
        raise ConfigError(faults, hint=_HELP) from None


_HELP = "treedock config schema prints every key with its meaning."


def _sentence(model: Hashable, problem: dict[str, Any]) -> str:
    """One validation problem as 'services.backend.redy: unknown key; did you mean `ready`?'."""
    steps = [step for step in problem["loc"] if not _is_union_tag(step)]
    if problem["type"] == "string_type" and "[key]" in problem["loc"]:
        problem = {**problem, "type": "invalid_key"}
    if problem["type"] == "invalid_key":
        del steps[-1]  # it is the key itself, which may be no text
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")
    if problem["type"] == "unexpected_keyword_argument":
        near = get_close_matches(str(steps[-1]), _keys_at(model, steps[:-1]), n=1)
        return f"{path}: unknown key" + (f"; did you mean `{near[0]}`?" if near else "")
    message = wrong_value(problem)
    return f"{path}: {message}" if path else message


def _is_other_branch(problem: dict[str, Any]) -> bool:
    """Of `str | Image`, the try that the kind of value rules out: its problem is none."""
    if problem["loc"][:1] != ("image",) or len(problem["loc"]) != 2:
        return False
    is_mapping = isinstance(problem["input"], dict)
    return is_mapping if problem["loc"][1] == "str" else not is_mapping


def _is_union_tag(step: object) -> bool:
    """pydantic puts the tried member of `str | Image` into the path: 'str', 'Image', ..."""
    return step in ("str", "Image", "[key]") or str(step).startswith("function-")


def _keys_at(model: Hashable, steps: list[Any]) -> list[str]:
    """The keys that the JSON Schema knows below this path."""
    whole = adapter_of(model).json_schema(by_alias=True)
    here: dict[str, Any] = whole
    for step in [*steps, None]:
        while "$ref" in here or "anyOf" in here:
            if "anyOf" in here:
                options = [o for o in here["anyOf"] if "$ref" in o or "properties" in o]
                here = options[0] if options else {}
            else:
                here = whole["$defs"][here["$ref"].rpartition("/")[2]]
        if step is None:
            break
        if isinstance(step, int):
            here = here.get("items", {})
        else:
            patterns = list(here.get("patternProperties", {}).values())  # dict[Name, ...]
            others = patterns[0] if patterns else here.get("additionalProperties", {})
            here = here.get("properties", {}).get(step, others)
        here = here if isinstance(here, dict) else {}
    return list(here.get("properties", {}))
