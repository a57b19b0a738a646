"""Variables in a Compose file."""

import pytest

from runner.domain.detect.env_file import assignments
from runner.domain.detect.interpolation import Unset, interpolate

VALUES = {"SET": "v", "EMPTY": "", "DOLLAR": "$SET"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no variables: 5", "no variables: 5"),
        ("$SET/${SET}-x", "v/v-x"),
        ("$$SET $${SET} $$", "$SET ${SET} $"),
        ("${SET:-d}${EMPTY:-d}${NONE:-d}", "vdd"),
        ("${SET-d}${EMPTY-d}${NONE-d}", "vd"),
        ("${SET:?e}${SET?e}${EMPTY?e}", "vv"),
        ("${SET:+r}${EMPTY:+r}${NONE:+r}${EMPTY+r}", "rr"),
        ("${NONE:-${SET}}", "v"),
        ("${NONE:-a${NONE:-b}}}c", "ab}c"),
        ("${NONE:-a:b?c+d-e}", "a:b?c+d-e"),
        ("${NONE:-$$x}", "$x"),
        ("${NONE-}", ""),
        ("$DOLLAR", "$SET"),
    ],
)
def test_it_is_filled_in_as_compose_does(text: str, expected: str) -> None:
    assert interpolate(text, VALUES) == expected


@pytest.mark.parametrize("text", ["$NONE", "${NONE}", "${NONE:?say it}", "${EMPTY:?say it}"])
def test_one_without_a_value_is_named(text: str) -> None:
    with pytest.raises(Unset, match=r"^(NONE|EMPTY)$"):
        interpolate(text, VALUES)


@pytest.mark.parametrize(
    "text", ["$", "a $ b", "${", "${A", "${}", "${1A}", "${A:}", "${A!b}", "$1", "${A:-" * 50]
)
def test_what_compose_would_not_take_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$"):
        interpolate(text, VALUES)


def test_defaults_within_defaults_come_to_an_end() -> None:
    with pytest.raises(ValueError, match="without end"):
        interpolate("${A:-" * 500 + "}" * 500, VALUES)


def test_a_quoted_value_over_several_lines_keeps_all_of_them() -> None:
    text = 'CERT="first\nSECOND=x\nthird"\nNAME=shop # a comment\nOPEN=\'rest of the line\n'
    values = assignments(text)
    assert values["CERT"] == "first\nSECOND=x\nthird"
    assert values["NAME"] == "shop"
    assert "SECOND" not in values


def test_what_a_required_variable_says_of_itself_is_kept() -> None:
    with pytest.raises(Unset) as caught:
        interpolate("${KEY:?set it}", {})
    assert caught.value.sentence == "${KEY} has no value here (set it)"
