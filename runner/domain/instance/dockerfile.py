"""Putting the host's certificate authorities into someone's Dockerfile.

The format: https://docs.docker.com/reference/dockerfile/
"""

import re
from collections.abc import Iterator

from runner.domain.instance.container import CA_BUNDLE, CA_VARIABLES

CA_FILE = ".treedock-ca.pem"
"""The bundle's name in the build context."""

_ADDED = (
    f"COPY {CA_FILE} {CA_BUNDLE}",
    "ENV " + " ".join(f"{name}={CA_BUNDLE}" for name in CA_VARIABLES),
)
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_FROM = re.compile(r"\s*FROM\s", re.IGNORECASE)
_TAKES_HEREDOC = re.compile(r"\s*(?:RUN|COPY|ADD)\s", re.IGNORECASE)
# A word of its own: neither the shell's `1 << 4` nor its `<<< "$here"`.
_HEREDOC = re.compile(r"(?<!\S)\d*<<(-?)([\"']?)([A-Za-z_]\w*)\2(?!\S)")


def with_authorities(text: str) -> str:
    """`text` with a COPY of the bundle and its variables behind every FROM.

    The bundle has to lie in the context as CA_FILE. Nothing else changes but line ends.
    """
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    result: list[str] = []
    done = 0
    for end in _ends(lines):
        instruction = [line for line in lines[done:end] if not _is_skipped(line)]
        result += lines[done:end]
        if instruction and _FROM.match(instruction[0]):
            result += _ADDED
        done = end
    return "\n".join(result) + "\n"


def _ends(lines: list[str]) -> Iterator[int]:
    """For each instruction, with the comments before it, the index behind its last line."""
    escape = _escape(lines)
    first, index = None, 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if _is_skipped(line):  # neither begins, continues nor ends an instruction
            continue
        first = first or line
        if line.rstrip().endswith(escape):
            continue
        if _TAKES_HEREDOC.match(first):
            index = _behind_heredocs(lines, index, line)
        yield index
        first = None
    if index and (first is not None or _is_skipped(lines[-1])):
        yield index


def _behind_heredocs(lines: list[str], index: int, line: str) -> int:
    """The index behind the here-documents that `line` opens; one that never ends is none."""
    for dash, _, word in _HEREDOC.findall(line):
        for at in range(index, len(lines)):
            if (lines[at].lstrip("\t") if dash else lines[at]) == word:
                index = at + 1
                break
    return index


def _escape(lines: list[str]) -> str:
    """The character that continues a line. Directives stand above everything else."""
    for line in lines:
        directive = _DIRECTIVE.match(line)
        if directive is None:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _is_skipped(line: str) -> bool:
    """A comment or an empty line; both may stand even between continued lines."""
    return line.lstrip()[:1] in ("", "#")
