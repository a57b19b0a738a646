"""The tar of empty folders, for `Engine.put`."""

import io
from collections.abc import Iterable


def folders(paths: Iterable[str], *, uid: int, gid: int) -> bytes:
    """Folders with mode 0755 that belong to uid:gid; the one above has to stand before."""
    import tarfile  # late: verbs that make no folder do without

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in paths:
            folder = tarfile.TarInfo(path)
            folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, uid, gid
            tar.addfile(folder)
    return data.getvalue()
