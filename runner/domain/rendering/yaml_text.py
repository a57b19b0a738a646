"""Values as YAML text, for files that people read: plain where YAML reads it as the same text."""

import json
import re
from collections.abc import Mapping

# Text that YAML takes as it stands, in a block and in [flow]: nothing that it could misread.
_PLAIN = re.compile(
    r"(?:[A-Za-z/$_]|\.(?=[a-z/])(?!inf$|nan$))(?:[\w./$=@%+&~<>\"'-]|:(?=[\w./$])| (?!#))*"
)
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
# What JSON leaves as it is and YAML does not take, or folds.
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def scalar(text: str) -> str:
    """As it stands where YAML reads it as the same text, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and text == text.strip():
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def flow(value: object) -> str:
    """Any value of texts, numbers, lists and mappings, on one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{scalar(str(key))}: {flow(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value) if isinstance(value, str) else json.dumps(value)


def block(value: object, indent: str) -> list[str]:
    """The lines of a list or mapping, an entry each; of anything else, none."""
    if isinstance(value, Mapping):
        return [f"{indent}{scalar(str(key))}: {flow(item)}" for key, item in value.items()]
    return [f"{indent}- {flow(item)}" for item in value] if isinstance(value, list) else []
