"""YAML of strangers."""

import pytest

from runner.adapters.files.yaml_tree import parse
from runner.domain.errors import ConfigError


def test_scalars_are_texts_whatever_yaml_takes_them_for() -> None:
    text = "a: [22:22, 0755, yes, 1.10, 2026-01-01, 0x10, =, '']\nb: null\nc:\nd: ~\n8080: x\n"
    assert parse(text, "x") == {
        "a": ["22:22", "0755", "yes", "1.10", "2026-01-01", "0x10", "=", ""],
        "b": None,
        "c": None,
        "d": None,
        "8080": "x",
    }


def test_anchors_merge_and_the_nearest_key_counts() -> None:
    text = """
one: &one {image: a, tag: x}
two: &two {<<: *one, image: b}
three: {<<: [*two, *one], extra: c}
four: {<<: *two, image: d}
"""
    found = parse(text, "x")
    assert found["two"] == {"tag": "x", "image": "b"}
    assert found["three"] == {"tag": "x", "image": "b", "extra": "c"}
    assert found["four"] == {"tag": "x", "image": "d"}


def test_a_tag_that_nobody_knows_is_passed_over() -> None:
    assert parse("ports: !override ['80:80']\nenv: !reset {a: b}\nx: !y z", "x") == {
        "ports": ["80:80"],
        "env": {"a": "b"},
        "x": "z",
    }


LAUGHS = "\n".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(9))
MERGES = "\n".join(f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}" for n in range(20))


@pytest.mark.parametrize(
    "text",
    [
        f"a0: &a0 [x]\n{LAUGHS}",
        f"a0: &a0 {{{', '.join(f'k{n}: v' for n in range(9999))}}}\n{MERGES}",
        f"a: &a {{{', '.join(f'k{n}: v' for n in range(5000))}}}\nb: {{<<: [{'*a, ' * 9000}]}}",
        "a: &a {<<: &b {<<: *a}, c: d}",
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 5000,
        "{a: " * 2000,
        "- a\n" * 60_000,
        "x" * 300_000,
        "? [a]\n: b",
        "? {a: b}\n: c",
        "a: *nowhere",
        "a: {<<: text}",
        "a: \x00",
        "\ta: b",
        "a: 1\n---\nb: 2",
        "%YAML 9.9\n---\na: b",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_what_is_broken_or_endless_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="x cannot be read"):
        parse(text, "x")
