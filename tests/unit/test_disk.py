"""Files that a container can write too: nothing is followed, nothing blocks, nothing is torn."""

import hashlib
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from runner.adapters.files import disk, untrusted
from runner.domain.errors import ConfigError, Refused

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from runner.adapters.files import disk
while True:
    for letter in b"ab":
        disk.write_atomically(Path(sys.argv[1]), bytes([letter]) * 200_000)
"""


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    folder = tmp_path / "worktree"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host that a branch would like to write to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


def test_a_file_is_written_below_the_worktree_with_its_folders(worktree: Path) -> None:
    disk.write_below(worktree, "a/b/.env", b"A=1\n", mode=0o600)
    disk.write_below(worktree, "a/b/.env", b"A=2\n", mode=0o640)
    assert (worktree / "a/b/.env").read_text() == "A=2\n"
    assert (worktree / "a/b/.env").stat().st_mode & 0o777 == 0o640
    assert names_in(worktree / "a/b") == [".env"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_folder_on_the_way_is_a_symlink_that_is_followed(
    worktree: Path, outside: Path, depth: int
) -> None:
    parts = ["a", "b", "c"]
    link = worktree.joinpath(*parts[:depth])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(Refused, match="cannot be written"):
        disk.write_below(worktree, "a/b/c/.env", b"A=1\n")
    assert names_in(outside) == ["secret"]


def test_a_symlink_at_the_end_is_replaced_and_not_followed(worktree: Path, outside: Path) -> None:
    (worktree / ".env").symlink_to(outside / "secret")
    disk.write_below(worktree, ".env", b"A=1\n")
    assert (outside / "secret").read_text() == "secret"
    assert (worktree / ".env").read_text() == "A=1\n"
    assert not (worktree / ".env").is_symlink()


def test_a_symlink_planted_as_the_temporary_file_is_not_followed(
    worktree: Path, outside: Path
) -> None:
    (worktree / "..env.treedock-new").symlink_to(outside / "secret")
    disk.write_below(worktree, ".env", b"A=1\n")
    assert (outside / "secret").read_text() == "secret"


@pytest.mark.parametrize("planted", [".env", "..env.treedock-new"])
def test_a_folder_in_the_way_is_refused_with_its_path(worktree: Path, planted: str) -> None:
    (worktree / planted / "full").mkdir(parents=True)
    with pytest.raises(Refused, match="cannot be written"):
        disk.write_below(worktree, ".env", b"A=1\n")


def test_a_symlink_is_not_read(worktree: Path, outside: Path) -> None:
    (worktree / "log").symlink_to(outside / "secret")
    assert untrusted.read(worktree / "log") is None
    assert untrusted.tail(worktree / "log", 10) == []


@pytest.mark.timeout(10)
def test_nothing_that_could_block_or_never_end_is_read(worktree: Path) -> None:
    os.mkfifo(worktree / "fifo")
    (worktree / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(worktree / "socket"))
        for path in (*worktree.iterdir(), worktree / "absent", Path("/dev/zero")):
            assert untrusted.read(path) is None


def test_a_read_is_bounded(worktree: Path) -> None:
    (worktree / "log").write_bytes(b"12345678\n" * 1000)
    assert untrusted.read(worktree / "log", 4) == b"1234"
    assert untrusted.end(worktree / "log", 4) == b"678\n"
    (worktree / "large").write_bytes(b"x" * 2**17)
    assert untrusted.read(worktree / "large") == b"x" * 2**16
    assert untrusted.tail(worktree / "log", 100, bound=20) == ["8", "12345678", "12345678"]
    assert untrusted.tail(worktree / "log", 1) == ["12345678"]
    assert untrusted.tail(worktree / "log", 0) == []


def test_of_a_folder_few_names_are_taken_and_none_that_does_not_fit(worktree: Path) -> None:
    for name in ("a1", "b", "a2", "a3\n", "-rf", "..a4"):
        (worktree / name).touch()
    pattern = re.compile("a[0-9]")
    assert untrusted.names(worktree, pattern) == ["a1", "a2"]
    assert len(untrusted.names(worktree, pattern, most=1)) == 1
    assert untrusted.names(worktree / "absent", pattern) == []
    for number in range(200):
        (worktree / f"c{number}").touch()
    assert len(untrusted.names(worktree, re.compile("c[0-9]+"))) == 100


def test_a_digest_is_of_the_content_or_of_a_huge_file_of_its_last_change(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    digests = set()
    for content in (b"one", b"two"):  # the same size, and the same time as far as one can set it
        file.write_bytes(content)
        os.utime(file, (0, 0))
        digests |= {untrusted.digest(file), untrusted.digest(file, bound=2)}
    assert len(digests) == 4
    assert untrusted.digest(file) in digests
    assert untrusted.digest(file, bound=2) in digests


def test_what_lies_at_a_path_is_told_without_following_anything(
    worktree: Path, outside: Path
) -> None:
    (worktree / "file").touch()
    (worktree / "folder").mkdir()
    (worktree / "link").symlink_to(outside)
    os.mkfifo(worktree / "fifo")
    kinds = {name: untrusted.kind(worktree, name) for name in ("file", "folder", "link", "fifo")}
    assert kinds == {"file": "file", "folder": "folder", "link": "symlink", "fifo": "other"}
    assert untrusted.kind(worktree, "link/secret") == "symlink"
    assert untrusted.kind(worktree, "file/below") == "absent"
    assert untrusted.kind(worktree, "absent") == "absent"


def test_a_configured_path_through_a_symlink_is_refused(worktree: Path, outside: Path) -> None:
    (worktree / "link").symlink_to(outside)
    assert disk.inside(worktree, "a/b", "worktrees") == worktree / "a/b"
    with pytest.raises(ConfigError, match="worktrees: link/x leads through the symlink"):
        disk.inside(worktree, "link/x", "worktrees")


def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)]) as writer:
            while not path.exists():
                assert writer.poll() is None
            for _ in range(10):
                assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)
            writer.kill()
        assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    disk.write_atomically(path, b"old")
    with pytest.raises(TypeError):
        disk.write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["record.json"]


def test_a_tree_goes_with_its_unwritable_folders_and_without_what_it_links_to(
    worktree: Path, outside: Path
) -> None:
    (worktree / "locked").mkdir()
    (worktree / "locked" / "file").touch()
    (worktree / "link").symlink_to(outside)
    (worktree / "locked").chmod(0o500)
    disk.remove_tree(worktree)
    disk.remove_tree(worktree)
    assert not worktree.exists()
    assert names_in(outside) == ["secret"]


def test_a_symlink_in_the_place_of_a_tree_is_left_alone(worktree: Path, outside: Path) -> None:
    (worktree / "link").symlink_to(outside)
    disk.remove_tree(worktree / "link")
    assert names_in(outside) == ["secret"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_is_of_a_file_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "gone", "."):
        with pytest.raises(Refused, match="is no file"):
            disk.copy_file(tmp_path / name, tmp_path / "copy")
    disk.copy_file(tmp_path / "secret", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "secret\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "link", "pipe", "secret"]


def test_holes_of_a_copied_file_stay_holes_and_its_content_is_the_same(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.write(b"first")
        file.seek(2**20)
        file.write(b"second")
        file.truncate(2**32)
    disk.copy_file(source, tmp_path / "target")
    about = (tmp_path / "target").stat()
    assert about.st_size == 2**32
    assert about.st_blocks * 512 < 2**21
    with (tmp_path / "target").open("rb") as file:
        assert file.read(5) == b"first"
        file.seek(2**20)
        assert file.read(7) == b"second\0"


_SWAP = """
import os, sys
os.chdir(sys.argv[1])
while True:
    os.rename("a", "folder"); os.rename("link", "a")
    os.rename("a", "link"); os.rename("folder", "a")
"""


def test_a_folder_that_becomes_a_symlink_again_and_again_is_never_followed(tmp_path: Path) -> None:
    outside, worktree = tmp_path / "outside", tmp_path / "worktree"
    for place, text in ((outside, "secret"), (worktree / "a", "own")):
        place.mkdir(parents=True)
        (place / "file").write_text(text)
    (outside / "more").mkdir()
    (worktree / "link").symlink_to(outside)
    with subprocess.Popen([sys.executable, "-c", _SWAP, worktree]) as swapping:
        try:
            seen = {_all_that_is_read(worktree) for _ in range(3000)}
        finally:
            swapping.kill()
    assert {data for data, _ in seen} == {b"own", None}
    assert {names for _, names in seen} == {frozenset({"file"}), frozenset()}


def _all_that_is_read(worktree: Path) -> tuple[bytes | None, frozenset[str]]:
    place = worktree / "a/file"
    disk.make_readable(place, worktree)
    read = untrusted.reader(worktree)("a/file")
    assert untrusted.digest(place, below=worktree) != hashlib.sha256(b"secret").digest()
    assert untrusted.size(place, worktree) in (0, 3)
    below = {e.path.name for e in untrusted.entries(worktree) if e.path.parent == worktree / "a"}
    return read, frozenset(below)


def test_rights_are_given_to_what_lies_there_and_never_to_what_a_symlink_means(
    tmp_path: Path,
) -> None:
    outside, worktree = tmp_path / "outside", tmp_path / "worktree"
    for place in (outside, worktree / "a/b"):
        place.mkdir(parents=True)
        (place / "file").write_text("")
        (place / "file").chmod(0o200)
    outside.chmod(0o100)
    (worktree / "a/link").symlink_to(outside)
    (worktree / "a/b").chmod(0)
    disk._make_writable(worktree / "a")
    disk._make_writable(worktree / "a/link")
    disk.make_readable(worktree / "a/b/file", worktree)
    disk.make_readable(worktree / "a/link/file", worktree)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (outside, worktree / "a/b")}
    assert modes == {outside: 0o100, worktree / "a/b": 0o700}
    assert stat.S_IMODE((worktree / "a/b/file").stat().st_mode) == 0o600
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o200
