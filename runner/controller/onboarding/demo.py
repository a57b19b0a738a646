"""The demo project, copied to a folder of its own as a git repository."""

import shutil
import tempfile
from pathlib import Path

from runner import resources
from runner.adapters.files import disk
from runner.adapters.git import repository
from runner.domain.errors import Refused

# What a run of the demo in treedock's own checkout would leave there.
_OUTPUT_OF_RUNS = shutil.ignore_patterns(
    "node_modules", ".venv", "__pycache__", ".pytest_cache", "dist", "uv.lock", "app.db*", ".env"
)


def copy_demo(folder: Path) -> Path:
    """Ensure that `folder` is the demo's repository, with one commit on main; returns it.

    One that is there stays as it is. Raises Refused where something else is in the way.
    """
    folder = folder.absolute()
    if (folder / ".git").exists() and _is_demo(folder):
        return folder
    _require_empty(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made beside it and moved at the end: a copy that was killed half-way is not taken for whole.
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        made = scratch / folder.name
        shutil.copytree(
            resources.templates() / "demo", made, ignore=_OUTPUT_OF_RUNS, copy_function=_copy
        )
        repository.create(made, "A corner shop to try treedock with")
        made.replace(folder)
    finally:
        disk.remove_tree(scratch)
    return folder


def _is_demo(folder: Path) -> bool:
    """Whether the README begins as the demo's does."""
    own = (resources.templates() / "demo" / "README.md").read_text().splitlines()[0]
    readme = folder / "README.md"
    return readme.is_file() and readme.read_text(errors="replace").splitlines()[:1] == [own]


def _require_empty(folder: Path) -> None:
    if (
        folder.is_symlink()
        or (folder.exists() and not folder.is_dir())
        or (folder.is_dir() and any(folder.iterdir()))
    ):
        raise Refused(
            f"{folder} is there and is not the demo.", hint="Name a folder that is empty or new."
        )


def _copy(source: str, target: str) -> None:
    """Content only: an installed package may be read-only, and its modes are the packer's."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if source.endswith(".sh") else 0o644)
