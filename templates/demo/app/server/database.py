"""The items, in one SQLite file. Standard library only, so that the reset needs no .venv."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def create(path: Path, instance: str) -> None:
    """Make the database and fill it with a few items that name the instance."""
    names = (f"Apples of {instance}", f"Bread of {instance}", f"Coffee of {instance}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        connection.executemany("INSERT INTO items (name) VALUES (?)", [(name,) for name in names])


def items(path: Path) -> list[dict[str, int | str]]:
    """All items, oldest first."""
    with closing(_existing(path)) as connection:
        rows = connection.execute("SELECT id, name FROM items ORDER BY id").fetchall()
    return [{"id": id_, "name": name} for id_, name in rows]


def add(path: Path, name: str) -> dict[str, int | str]:
    """Keep a new item; returns it with its id."""
    with closing(_existing(path)) as connection, connection:
        row = connection.execute("INSERT INTO items (name) VALUES (?) RETURNING id", (name,))
        (id_,) = row.fetchone()
    return {"id": id_, "name": name}


def _existing(path: Path) -> sqlite3.Connection:
    # mode=rw: without it sqlite would make an empty file where the reset was forgotten.
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)


if __name__ == "__main__":
    create(Path(sys.argv[1]), sys.argv[2])
