"""The scenario of warm starts: FastAPI, PostgreSQL and React, with what real projects install."""

import json

from scene import Content

# 450 MB in node_modules, 170 MB in .venv. Who leads is pinned; the locks are made at run time.
PACKAGES = {
    "@emotion/react": "11.14.0",
    "@emotion/styled": "11.14.0",
    "@mui/icons-material": "6.4.0",
    "@mui/material": "6.4.0",
    "@vitejs/plugin-react": "4.3.4",
    "eslint": "9.18.0",
    "lucide-react": "0.460.0",
    "monaco-editor": "0.52.2",
    "react": "19.0.0",
    "react-dom": "19.0.0",
    "react-router-dom": "7.1.0",
    "three": "0.170.0",
    "typescript": "5.7.3",
    "vite": "6.0.7",
    "vitest": "2.1.8",
}
PYTHON = (
    "alembic==1.14.0",
    "fastapi==0.115.6",
    "pandas==2.2.3",
    "pillow==11.1.0",
    "psycopg[binary]==3.2.3",
    "sqlalchemy==2.0.36",
    "uvicorn==0.34.0",
)
PYPROJECT = f"""\
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = {json.dumps(PYTHON)}
"""
# A database of 80 MB, as pg_database_size counts.
SCHEMA = """\
CREATE TABLE item (id bigint PRIMARY KEY, name text NOT NULL, note text NOT NULL);
INSERT INTO item SELECT n, 'item ' || n, md5(n::text) || md5((n + 1)::text)
FROM generate_series(1, 500000) AS n;
"""
# The floor has the sidecar, and the same files; nothing to set up, and an empty database.
SIDECAR = """
sidecars:
  postgres:
    image: postgres
    env: {POSTGRES_USER: shop, POSTGRES_PASSWORD: shop, POSTGRES_DB: shop}
"""
SETUP = """
setup:
  - {run: npm ci, in: frontend}
  - {run: uv sync, in: backend}
database:
  engine: postgres
  reset: psql --quiet --set=ON_ERROR_STOP=1 --file=backend/schema.sql
  inputs: [backend/schema.sql]
"""
FULL = SIDECAR + SETUP
EMPTY = Content(
    config=SIDECAR,
    files={
        "frontend/package.json": json.dumps({"name": "shop", "dependencies": PACKAGES}, indent=2),
        "backend/pyproject.toml": PYPROJECT,
        "backend/schema.sql": SCHEMA,
        ".gitignore": "node_modules/\n.venv/\n",
    },
)
LOCKS = ("frontend/package-lock.json", "backend/uv.lock")
LOCK = "cd frontend && npm install --silent --package-lock-only && cd ../backend && uv lock --quiet"
INSTALL = "cd frontend && npm ci && cd ../backend && uv sync"

# A SQLite database of 10 MB.
LITTLE_DATABASE = "app.db"
LITTLE = Content(
    config=f"""
database:
  engine: sqlite
  path: {LITTLE_DATABASE}
  reset: sqlite3 {LITTLE_DATABASE} < schema.sql
""",
    files={
        "schema.sql": """\
CREATE TABLE item (id integer PRIMARY KEY, note text);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO item SELECT i, hex(randomblob(45)) FROM n;
"""
    },
)
