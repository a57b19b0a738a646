"""A file that takes so many bytes and no more."""

from io import BytesIO

import pytest

from runner.adapters.files.captured import Bounded
from runner.domain.errors import Refused


def test_what_comes_after_the_limit_is_dropped_and_its_writer_goes_on() -> None:
    kept = BytesIO()
    file = Bounded(5, kept)
    assert [file.write(data) for data in (b"abc", b"defg", b"h")] == [3, 4, 1]
    assert kept.getvalue() == b"abcde"


def test_the_limit_itself_fits_and_a_byte_more_is_the_error() -> None:
    kept = BytesIO()
    file = Bounded(5, kept, lambda: Refused("too large"))
    file.write(b"abc")
    file.write(b"de")
    with pytest.raises(Refused, match="too large"):
        file.write(b"f")
    assert kept.getvalue() == b"abcde"


def test_without_a_file_it_is_kept_in_memory() -> None:
    file = Bounded(5)
    file.write(b"abcdefg")
    assert file.data() == b"abcde"
