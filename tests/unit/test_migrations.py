"""Which files make the data, told by the project's layout."""

import pytest

from runner.domain.data.migrations import inputs_of

ALEMBIC = ["api/alembic.ini", "api/alembic/env.py", "api/alembic/versions/1_first.py"]
DJANGO = ["manage.py", "shop/models.py", "shop/migrations/0001_initial.py"]
PRISMA = ["web/prisma/schema.prisma", "web/prisma/migrations/1/migration.sql", "web/index.ts"]


@pytest.mark.parametrize(
    ("paths", "folder", "command", "patterns"),
    [
        (
            ALEMBIC,
            "api",
            "uv run alembic upgrade head",
            ["api/alembic/env.py", "api/alembic/versions/**"],
        ),
        (
            DJANGO,
            ".",
            "python manage.py migrate && python manage.py loaddata shop",
            [
                "**/Pipfile.lock",
                "**/fixtures/**",
                "**/migrations/**",
                "**/poetry.lock",
                "**/requirements*.txt",
                "**/uv.lock",
                "manage.py",
            ],
        ),
        (PRISMA, "web", "npx prisma migrate reset --force", ["web/prisma/**"]),
        (
            [*ALEMBIC, "scripts/reset_db.sh"],
            ".",
            "./scripts/reset_db.sh",
            [],
        ),
        # It may read anything that comes after the migrations.
        (ALEMBIC, "api", "alembic upgrade head && python -m app.seed", []),
        # A script that is all there is may read anything.
        (["reset.sh", "schema.sql", "app.py"], ".", "./reset.sh", []),
        # Folders of these names that are something else.
        (["docs/migrations/0001.py", "api/versions/v1.py"], ".", "make db", []),
        (PRISMA, "web", "npx prisma db seed -- 'unclosed", ["web/prisma/**"]),
    ],
)
def test_the_layout_tells_what_a_reset_reads(
    paths: list[str], folder: str, command: str, patterns: list[str]
) -> None:
    assert inputs_of(paths, folder, command) == patterns
