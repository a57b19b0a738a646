"""What a command prints is kept within bounds."""

from pathlib import Path

import pytest

from runner.adapters.files.captured import Captured


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_the_end_is_shown_the_start_is_in_a_file_and_the_rest_is_counted(
    tmp_path: Path, piece: int
) -> None:
    data = bytes(range(97, 123)) * 10
    kept = Captured(tmp_path / "more/out", shown=16, kept=100)
    for at in range(0, len(data), piece):
        kept.write(data[at : at + piece])
    kept.close()
    assert (kept.truncated, kept.size, kept.dropped) == (True, 260, 160)
    assert kept.text() == data[-16:].decode()
    assert kept.path.read_bytes() == data[:100]


def test_what_fits_leaves_no_file(tmp_path: Path) -> None:
    kept = Captured(tmp_path / "more/out", shown=4)
    kept.write(b"a\xffb")
    assert (kept.text(), kept.truncated, kept.dropped) == ("a�b", False, 0)
    assert not list(tmp_path.iterdir())


def test_the_cut_is_between_characters(tmp_path: Path) -> None:
    kept = Captured(tmp_path / "out", shown=4)
    kept.write("→→→".encode())
    kept.close()
    assert kept.text() == "→"


def test_without_a_place_for_the_file_all_that_is_not_shown_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Captured(tmp_path / "file" / "out", shown=4)
    kept.write(b"abc")
    kept.write(b"defgh")
    kept.close()
    assert (kept.text(), kept.dropped) == ("efgh", 8)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    kept = Captured(tmp_path / "out", shown=1000, kept=10)
    for _ in range(1000):
        kept.write(bytes(500))
        assert len(kept._end) <= 2500
    assert len(kept.text()) == 1000
    kept.close()
