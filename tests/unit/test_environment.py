"""The values of an instance, and the text of its .ports.env and .env."""

import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.domain.errors import ConfigError
from runner.domain.instance.environment import (
    BLOCK_END,
    BLOCK_START,
    expand,
    render_ports_env,
    values_of,
    with_block,
)

PORTS = {"BACKEND_PORT": "9105"}


def test_an_instance_is_told_its_ports_its_id_and_the_projects_values() -> None:
    added = {"API": "http://localhost:${BACKEND_PORT}", "AGAIN": "$API/v1"}
    assert values_of("auth", {"backend": 9105, "story-book": 9305}, added) == {
        "BACKEND_PORT": "9105",
        "STORY_BOOK_PORT": "9305",
        "TREEDOCK_ID": "auth",
        "API": "http://localhost:9105",
        "AGAIN": "http://localhost:9105/v1",
    }


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("${BACKEND_PORT}", "9105"),
        ("$BACKEND_PORT", "9105"),
        ("a${BACKEND_PORT}b", "a9105b"),
        ("$$BACKEND_PORT", "$BACKEND_PORT"),
        ("$$$BACKEND_PORT", "$9105"),
        ("costs 5$", "costs 5$"),
        ("$5", "$5"),
        ("", ""),
    ],
)
def test_variables_are_filled_in_and_two_dollars_are_one(template: str, text: str) -> None:
    assert expand(template, PORTS, "env.set.X") == text


@pytest.mark.parametrize("template", ["${NOPE}", "$NOPE", "${}", "${BACKEND_PORT:-1}"])
def test_an_unknown_variable_is_refused_with_the_key_and_the_known_ones(template: str) -> None:
    with pytest.raises(ConfigError, match=r"env\.set\.X") as caught:
        expand(template, PORTS, "env.set.X")
    assert "BACKEND_PORT" in caught.value.hint
    assert "$$" in caught.value.hint


VALUES = [
    "",
    "plain",
    "two words",
    "http://localhost:9105/?a=b&c=d#e",
    "it's",
    'say "hi"',
    'it\'s "both"',
    "$HOME and `id` and $(id)",
    "~/x",
    "a:~/b",
    "C:\\temp",
    "a\\\\b",
    "ends in \\",
    "it's C:\\temp\\",
    "# no comment",
    "a # b",
    "ünï→",
    " padded ",
    "*",
    "!x",
    "a;b|c>d<e(f)",
]


@pytest.mark.parametrize("value", VALUES)
def test_the_shell_and_dotenv_read_the_same_value(value: str, tmp_path: Path) -> None:
    file = tmp_path / ".ports.env"
    file.write_text(render_ports_env({"X": value, "Y": "next"}))
    assert read_by_sh(file) == f"{value}|next"
    assert dotenv_values(file, interpolate=False) == {"X": value, "Y": "next"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")))))
def test_no_value_breaks_out_of_its_quotes_in_a_shell(values: list[str]) -> None:
    text = render_ports_env({f"X{at}": value for at, value in enumerate(values)})
    shown = "".join(f'printf "%s\\n" "$X{at}"\n' for at in range(len(values)))
    done = subprocess.run(["sh", "-c", text + shown], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"{value}\n" for value in values)
    assert done.stderr == ""


def test_a_second_run_changes_nothing() -> None:
    once = with_block("SECRET=1\n", PORTS)
    assert once.startswith("SECRET=1\n")
    assert with_block(once, PORTS) == once


def test_new_values_replace_the_block_and_keep_what_stands_around_it() -> None:
    text = with_block("BEFORE=1\n", PORTS) + "AFTER=2"
    assert with_block(text, {"BACKEND_PORT": "9106"}) == (
        f"BEFORE=1\n{BLOCK_START}\nBACKEND_PORT=9106\n{BLOCK_END}\nAFTER=2"
    )


def test_a_file_without_a_last_line_break_keeps_its_last_line() -> None:
    assert with_block("SECRET=1", PORTS).startswith(f"SECRET=1\n{BLOCK_START}\n")


def test_lines_behind_a_start_mark_without_an_end_mark_are_kept() -> None:
    text = f"A=1\n{BLOCK_START}\nBACKEND_PORT=9100\nMINE=2\n"
    mended = with_block(text, PORTS)
    assert "MINE=2\n" in mended
    assert "BACKEND_PORT=9100" not in mended
    assert mended.count(BLOCK_START) == 1
    assert with_block(mended, PORTS) == mended


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_whatever_stands_around_the_block_stays(before: str, after: str) -> None:
    text = with_block(before, {"A": "1"}) + after
    changed = with_block(text, {"A": "2"})
    assert changed == text.replace("\nA=1\n", "\nA=2\n", 1)


def read_by_sh(file: Path) -> str:
    script = 'set -eu; . "$1"; printf "%s|%s" "$X" "$Y"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(file)], capture_output=True, text=True, check=True
    )
    return done.stdout
