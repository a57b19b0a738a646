"""The process of the command: an interrupt at any time, streams that are closed."""

import os
import signal
import subprocess
import sys

from tests.running import CHECKOUT

COMMAND = [sys.executable, "-X", "importtime", "-m", "runner"]


def _interrupted_at(module: str) -> tuple[int, str]:
    """The end of treedock, interrupted as soon as it has imported `module`."""
    with subprocess.Popen(
        [*COMMAND, "version"], env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        said = next(line for line in process.stderr if line.split()[-1] == module)
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    return process.returncode, said


def test_an_interrupt_while_treedock_starts_is_answered_as_later() -> None:
    for module in ("runner.cli.start", "inspect", "click.types", "click", "runner.domain.errors"):
        code, said = _interrupted_at(module)
        assert (code, "Traceback" in said) == (130, False), said
        assert "interrupted; the same command goes on from here" in said


def test_a_closed_stream_is_dev_null_and_no_other_file_gets_its_number() -> None:
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        numbers = [{"<": 0, ">": 1, "2": 2}[word[0]] for word in closed.split()]
        script = (
            "import os, sys; from runner.cli.process import ensure_streams; ensure_streams(); "
            "print('out'); print('err', file=sys.stderr); sys.stdin.read(); "
            "os.write(9, ' '.join(os.readlink(f'/proc/self/fd/{n}') for n in range(3)).encode())"
        )
        done = subprocess.run(
            ["sh", "-c", f'exec 9>&1; exec "$0" -c "$1" {closed}', sys.executable, script],
            cwd=CHECKOUT, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        places = done.stdout.removeprefix("out\n").split()
        assert [places[number] for number in numbers] == ["/dev/null"] * len(numbers)
