"""The files that come with treedock: images/, templates/ and compose/.

A wheel carries them in the package; a checkout has them beside it.
"""

from pathlib import Path


def images() -> Path:
    """The folder of build contexts, one per image."""
    return _find("images")


def templates() -> Path:
    """The folder of what treedock writes into other people's repositories."""
    return _find("templates")


def compose() -> Path:
    """The folder of Compose files."""
    return _find("compose")


def _find(name: str) -> Path:
    package = Path(__file__).parent
    installed = package / "_resources" / name
    return installed if installed.is_dir() else package.parent / name
