"""The configuration as it was checked last: checking it again would cost every verb the import of
pydantic and PyYAML, which takes longer than most verbs do.

<git common dir>/treedock/config.json is never needed: what does not fit, or cannot be read or
written, is made again from the files. It is keyed by everything that it follows from.
"""

import contextlib
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from runner.adapters.files import disk
from runner.domain.config import project, sections, values
from runner.domain.config.project import Config, UserConfig
from runner.domain.frozen import dataclass
from runner.domain.typed import typed
from runner.version import __version__

NAME = "config.json"


@dataclass(frozen=True)
class Checked:
    """treedock.yaml and the person's own file, as they were when their hash was `key`."""

    key: str
    config: Config
    user: UserConfig


def key_of(files: list[bytes]) -> str:
    """What a configuration from these files is known by: what they hold, treedock's version, and
    what it knows of the keys."""
    digest = hashlib.sha256(__version__.encode())
    own = [Path(str(module.__file__)).read_bytes() for module in (project, sections, values)]
    for data in [*files, *own]:
        digest.update(b"%d\0%s" % (len(data), data))
    return digest.hexdigest()


def read(root: Path, key: str) -> Checked | None:
    """What is kept below `root` under this key, if anything."""
    try:
        found = json.loads((root / NAME).read_bytes())
        return typed(Checked, found) if found["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def write(root: Path, checked: Checked) -> None:
    """Keep it below `root`, a folder that is there."""
    with contextlib.suppress(OSError):
        data = json.dumps(asdict(checked)).encode()
        disk.write_atomically(root / NAME, data, mode=0o600)
