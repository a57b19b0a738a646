"""The host's certificates in somebody's Dockerfile."""

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.instance.container import CA_BUNDLE, CA_VARIABLES
from runner.domain.instance.dockerfile import CA_FILE, with_authorities

COPY = f"COPY {CA_FILE} {CA_BUNDLE}"


def lines(text: str) -> list[str]:
    """The lines of the result, the added ENV told by its name only."""
    return [
        "ENV ..." if line.startswith("ENV SSL_CERT_FILE") else line
        for line in with_authorities(text).splitlines()
    ]


def test_each_stage_gets_the_bundle_and_its_variables() -> None:
    assert lines("FROM a AS one\nRUN x\nFROM one\nRUN y\n") == [
        *("FROM a AS one", COPY, "ENV ...", "RUN x"),
        *("FROM one", COPY, "ENV ...", "RUN y"),
    ]


def test_every_variable_names_the_bundle() -> None:
    environment = with_authorities("FROM a").splitlines()[-1].split()
    assert environment == ["ENV", *(f"{name}={CA_BUNDLE}" for name in CA_VARIABLES)]


def test_an_argument_before_the_first_stage_stays_before_it() -> None:
    assert lines("ARG V=1\nFROM a:$V") == ["ARG V=1", "FROM a:$V", COPY, "ENV ..."]


def test_the_instruction_may_be_lower_case_and_indented() -> None:
    assert lines("  from --platform=linux/amd64 a as b") == [
        "  from --platform=linux/amd64 a as b",
        *(COPY, "ENV ..."),
    ]


def test_a_comment_and_a_longer_word_are_no_stage() -> None:
    text = "FROM a\n# FROM b\nRUN x\nFROMAGE b\n"
    assert lines(text).count(COPY) == 1


def test_a_continued_stage_gets_it_behind_its_last_line() -> None:
    assert lines("FROM a \\\n# why\n\n  AS b\nRUN x") == [
        *("FROM a \\", "# why", "", "  AS b"),
        *(COPY, "ENV ...", "RUN x"),
    ]


def test_a_continued_command_may_speak_of_from() -> None:
    text = "FROM a\nRUN echo \\\nFROM b\\\n\nFROM c\nRUN y\n"
    assert lines(text).count(COPY) == 1


def test_another_escape_character_is_obeyed() -> None:
    text = "# syntax=x\n# Escape=`\nFROM a\nRUN dir C:\\\nFROM b\nRUN x `\nFROM c\n"
    assert lines(text)[2:] == [
        *("FROM a", COPY, "ENV ...", "RUN dir C:\\"),
        *("FROM b", COPY, "ENV ...", "RUN x `", "FROM c"),
    ]


def test_a_directive_below_a_comment_is_a_comment() -> None:
    assert lines("# hello\n# escape=`\nFROM a \\\n AS b\n")[-2:] == [COPY, "ENV ..."]


def test_a_here_document_may_hold_a_dockerfile() -> None:
    text = "FROM a\nRUN cat <<EOF >f && cat <<-'E2'\nFROM b\n EOF\nEOF\nFROM c\n\tE2\nFROM d\n"
    assert lines(text) == [
        *("FROM a", COPY, "ENV ..."),
        *("RUN cat <<EOF >f && cat <<-'E2'", "FROM b", " EOF", "EOF", "FROM c", "\tE2"),
        *("FROM d", COPY, "ENV ..."),
    ]


def test_a_here_document_in_a_continued_command_is_one() -> None:
    text = "FROM a\nRUN x && \\\n  cat <<EOF\nFROM b\nEOF\nFROM c\n"
    assert lines(text).count(COPY) == 2


def test_a_shift_and_a_here_string_are_no_here_document() -> None:
    text = 'FROM a\nRUN echo $((1 << 4)) $((1<<n))\nRUN cat <<< word && cat <<<"$x"\nFROM b\n'
    assert lines(text).count(COPY) == 2


def test_a_here_document_without_an_end_hides_nothing() -> None:
    assert lines("FROM a\nRUN cat <<EOF\nFROM b\n").count(COPY) == 2


def test_windows_line_ends_are_understood() -> None:
    text = "FROM a \\\r\n AS b\r\nRUN cat <<E\r\nFROM c\r\nE\r\n"
    assert lines(text) == [
        *("FROM a \\", " AS b"),
        *(COPY, "ENV ...", "RUN cat <<E", "FROM c", "E"),
    ]


_LINE = st.sampled_from(
    [
        "FROM a",
        "from b \\",
        "AS c",
        "# x",
        "",
        "RUN x \\",
        "RUN <<E",
        "E",
        "FROM",
        "# escape=`",
        "`",
    ]
)


@given(st.lists(_LINE, min_size=1))
def test_whatever_it_holds_nothing_is_lost_or_moved(wanted: list[str]) -> None:
    found = lines("\n".join(wanted) + "\n")
    assert [line for line in found if line not in (COPY, "ENV ...")] == wanted
