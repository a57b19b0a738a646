""".env files: what is read without python-dotenv is what python-dotenv reads."""

import io
import random

from dotenv import dotenv_values

from runner.adapters.files import env_file

PIECES = (
    *("A", "B_2", "=", "=", "\n", "\n", "# a", " ", "1", "x:/", ".@,+-", "\r", "'", '"', "$", "\\"),
    *("export ", "\t", "\v", "é", "\ufeff"),
)


def test_a_file_is_read_as_python_dotenv_reads_it() -> None:
    chosen = random.Random(7)
    texts = [
        "",
        "A=1\nA=2\n",
        "A=\n#A=2\n\nB=x:/y\n",
        "A=1",
        "A=1 # b\n",
        "A=1 \n",
        "A='1'\n",
        "A\n",
    ]
    texts += ["".join(chosen.choices(PIECES, k=chosen.randrange(14))) for _ in range(3000)]
    for text in texts:
        found = dotenv_values(stream=io.StringIO(text), interpolate=False)
        expected = [(key, value) for key, value in found.items() if value is not None]
        assert list(env_file.values(text).items()) == expected, text
