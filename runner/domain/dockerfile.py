"""Putting the host's certificate authorities into somebody's Dockerfile.

The engine's format: https://docs.docker.com/reference/dockerfile/
"""

import re

from runner.domain.container import CA_BUNDLE, CA_VARIABLES

CA_FILE = ".treedock-ca.pem"
"""The bundle's name in the build context."""

_FROM = re.compile(r"\s*FROM\s", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_TAKES_HEREDOC = re.compile(r"\s*(RUN|COPY|ADD)\s", re.IGNORECASE)


def with_authorities(text: str) -> str:
    """`text` with a COPY of the bundle and its variables behind every FROM.

    The file has to lie in the context as CA_FILE. Comments, continued lines and here-documents
    are left alone.
    """
    escape = "`" if re.match(r"(?:#[^\n]*\n)*#\s*escape\s*=\s*`", text, re.IGNORECASE) else "\\"
    variables = " ".join(f"{name}={CA_BUNDLE}" for name in CA_VARIABLES)
    added = [f"COPY {CA_FILE} {CA_BUNDLE}", f"ENV {variables}"]
    lines: list[str] = []
    ends: list[str] = []  # the here-documents that are open, each by its closing word
    continued = is_from = False
    for line in text.splitlines():
        lines.append(line)
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        if line.lstrip().startswith("#") or (continued and not line.strip()):
            continue  # neither ends nor continues an instruction
        if not continued:
            is_from = bool(_FROM.match(line))
            if _TAKES_HEREDOC.match(line):
                ends = _HEREDOC.findall(line)
        continued = line.rstrip().endswith(escape)
        if is_from and not continued:
            lines += added
            is_from = False
    return "\n".join(lines) + "\n"
