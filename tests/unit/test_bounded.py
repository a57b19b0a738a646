"""A file that takes so many bytes and no more."""

from io import BytesIO

import pytest

from runner.adapters.files.bounded import bounded
from runner.domain.errors import Refused


def test_what_comes_after_the_limit_is_dropped_and_its_writer_goes_on() -> None:
    kept = BytesIO()
    file = bounded(kept, 5)
    assert [file.write(data) for data in (b"abc", b"defg", b"h")] == [3, 4, 1]
    assert kept.getvalue() == b"abcde"


def test_the_limit_itself_fits_and_a_byte_more_is_the_error() -> None:
    kept = BytesIO()
    file = bounded(kept, 5, lambda: Refused("too large"))
    file.write(b"abc")
    file.write(b"de")
    with pytest.raises(Refused, match="too large"):
        file.write(b"f")
    assert kept.getvalue() == b"abcde"
