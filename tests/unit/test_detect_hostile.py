"""Files that are large or made to be slow to search."""

import pytest

from runner.domain.detect import Listing, detect

SIZE = 2**20  # as much as init reads of one file


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("main.py", "def create_app():\n "),
        ("app.py", "def get_app( "),
        ("site_/settings.py", "backends.sqlite3''NAME':"),
        ("pnpm-workspace.yaml", " \t \t"),
        (".env.example", "KEY='\n"),
        ("src/x.ts", "process.env.A || "),
        ("src/y.py", "    A: " + "[" * 50),
        ("prisma/schema.prisma", "datasource a {"),
    ],
)
def test_a_file_that_is_slow_to_search_is_passed_over(name: str, line: str) -> None:
    files = {
        "manage.py": "DJANGO_SETTINGS_MODULE",
        "package.json": '{"scripts": {"dev": "vite"}, "dependencies": {"prisma": "6"}}',
        "pnpm-workspace.yaml": "packages:\n",
        name: "packages:\n" * name.endswith(".yaml") + line * (SIZE // len(line)),
    }
    findings = detect(Listing(frozenset(files), files.__getitem__, lambda file: False))
    assert {service.name for service in findings.services} == {"backend", "frontend"}


def test_scripts_that_run_each_other_have_an_end() -> None:
    script = '{"scripts": {"dev": "npm run start", "start": "npm run dev"}}'
    files = {"package.json": script}
    assert detect(Listing(frozenset(files), files.__getitem__, lambda file: False)).services == ()
