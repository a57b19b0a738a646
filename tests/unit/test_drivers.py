"""Which commands of git's configuration no branch can steer."""

import pytest

from runner.domain.git.drivers import is_steady


@pytest.mark.parametrize(
    "command",
    [
        *("git-lfs clean -- %f", "git-lfs filter-process", "git lfs smudge --skip -- %f", "cat"),
        *('"git-crypt" smudge', '"/usr/bin/git-crypt" clean --key-name=ops', "git-crypt diff"),
        *("/usr/local/bin/strip", "/opt/strip --quiet -v %f", '"/opt/my tools/strip" -- %f'),
        *("/opt/mergetool %O %A %B %L %P", "/usr/bin/git-lfs clean -- %f", "/usr/bin/tac"),
    ],
)
def test_known_programs_and_absolute_paths_with_plain_options_are_steady(command: str) -> None:
    assert is_steady(command)


@pytest.mark.parametrize(
    "command",
    [
        # interpreters and what runs or finds other programs, by whatever words
        *("/usr/bin/python3 -mjsonfmt", "/usr/bin/python3.11 -", "/usr/bin/python3 %f", "/bin/sh"),
        *(
            "/usr/bin/env",
            "/usr/bin/make",
            "/usr/bin/make -s",
            "/usr/bin/npx --yes",
            "/usr/bin/perl",
        ),
        *(
            "/usr/bin/node",
            "/usr/bin/xargs",
            "/usr/bin/timeout -k",
            "/bin/busybox",
            "/usr/bin/Make",
        ),
        *("/usr/bin/gawk", "/usr/bin/git", "/bin/bash -s", "/usr/bin/uv -q", "/usr/bin/php8.2"),
        # words that say more than an option
        *("/opt/strip --config=strip.cfg", "/opt/strip -cstrip.cfg", "/opt/strip strip.cfg"),
        *(
            "/opt/strip -c strip.cfg",
            "/opt/strip --config ./x",
            "/opt/strip %f.cfg",
            "/opt/strip -",
        ),
        # what a shell takes for more than words
        *("/opt/strip; ./x", "/opt/strip|./x", "/opt/strip $(./x)", "/opt/strip `./x`", "cat<x"),
        *(
            "/opt/strip &",
            "/opt/strip >x",
            "/opt/strip *",
            "/opt/strip ~",
            "/opt/st?ip",
            "cat\n./x",
        ),
        *("$HOME/strip", "A=b /opt/strip", "'/opt/strip", "/opt/strip '$(./x)'", "/opt/strip \\\n"),
        # relative, in the end
        *("strip", "./strip", "tools/strip", "/opt/../home/x/strip", "git", "", " "),
        *("git-lfs clean -- ../x", "git-crypt smudge; ./x", "python filter.py", "cat ./x"),
    ],
)
def test_what_a_branch_can_steer_is_not(command: str) -> None:
    assert not is_steady(command)


def test_a_link_to_an_interpreter_is_one() -> None:
    assert not is_steady("/opt/strip --quiet", lambda path: "/usr/bin/python3.11")
    assert is_steady("/opt/strip --quiet", lambda path: "/opt/strip-2/bin/strip")
