"""What reaches a terminal."""

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cli.output import printable, printable_lines
from runner.domain.text import shell_word


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("feature/auth", "feature/auth"),
        ("grün →", "grün →"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb", "a\\x0db"),
        ("a\nb", "a\\x0ab"),
        ("\x9b31m", "\\x9b31m"),
        ("txt.\u202eexe", "txt.\\x202eexe"),
    ],
)
def test_what_controls_a_terminal_is_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_unprintable_gets_through(text: str) -> None:
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in printable(text))


def test_line_breaks_stay_where_lines_are_wanted() -> None:
    assert printable_lines("a\x07\nb") == "a\\x07\nb"


@pytest.mark.parametrize(
    "name", ["a", "a b", "it's", "a\nb", "\x1b[2J'\\", "e\u202e.txt", "\udcff", "grün\r"]
)
def test_a_name_in_a_command_to_type_is_printable_and_means_the_same(name: str) -> None:
    word = shell_word(name)
    assert printable(word) == word
    shown = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert os.fsdecode(shown.stdout) == name
