"""An image of a few megabytes, made of this host's own programs; no registry is asked."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

PROGRAMS = ("sh", "cat", "env", "id", "pwd", "sleep", "stty", "touch")


def tiny_image() -> io.BytesIO:
    """The tar of a root file system with a shell and what the contract runs."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for folder in ("tmp", "workspace", "etc"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(made)
        libraries: set[str] = set()
        for name in PROGRAMS:
            found = shutil.which(name)
            assert found, f"this host has no {name}"
            program = Path(found).resolve()
            _add(tar, program, f"bin/{name}")
            shown = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
            libraries |= set(re.findall(r"(/\S+) \(0x", shown))
        for library in sorted(libraries):
            _add(tar, Path(library).resolve(), library.lstrip("/"))
    data.seek(0)
    return data


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tar.gettarinfo(str(path), arcname=name)
    entry.type, entry.linkname, entry.mode = tarfile.REGTYPE, "", 0o755
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        tar.addfile(entry, file)
