"""Progress on a real terminal."""

import os
import pty
import subprocess
import sys

from tests.running import CHECKOUT

WORK = """
from runner.cli.progress import narration
from runner.controller.stream import Stream
from runner.domain.events import Said, StepFailed, StepStarted

with narration(timings=False) as listener:
    tell = Stream(listener)
    tell(StepStarted("breaking"), "auth")
    tell(StepStarted("waiting"), "pay")
    tell(Said("both are at work"))
    tell(StepFailed("breaking", 0.1, "refused"), "auth")
    tell(Said("one is at work"))
"""


def on_terminal(code: str) -> str:
    """What a program prints whose standard streams are a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=CHECKOUT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # EIO: nothing has the terminal open any more
            pass
        finally:
            os.close(ours)
        assert process.wait(10) == 0, said.decode()
    return said.decode()


def test_a_step_that_fails_ends_the_line_of_its_instance() -> None:
    _, _, both = on_terminal(WORK).partition("both are at work")
    both, _, one = both.partition("one is at work")
    assert "auth: breaking" in both
    assert "pay: waiting" in both
    assert "auth: breaking" not in one
    assert "pay: waiting" in one
