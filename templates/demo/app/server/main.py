"""The backend of the demo: a list of items, kept in SQLite."""

import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel, Field

import database

PATH = Path(os.environ.get("DATABASE", Path(__file__).with_name("app.db")))
INSTANCE = os.environ.get("TREEDOCK_ID", "local")
FRONTEND_PORT = os.environ.get("FRONTEND_PORT", "5173")

app = FastAPI(title="Corner shop")
app.add_middleware(
    CORSMiddleware,
    # Another port is another origin, so the browser asks.
    allow_origins=[f"http://{host}:{FRONTEND_PORT}" for host in ("localhost", "127.0.0.1")],
    allow_methods=["*"],
    allow_headers=["*"],
)


class NewItem(BaseModel):
    name: str = Field(min_length=1, max_length=80)


@app.get("/")
def about() -> dict[str, str]:
    return {"instance": INSTANCE, "items": "/items", "documentation": "/docs"}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok", "instance": INSTANCE}


@app.get("/items")
def list_items() -> dict[str, object]:
    return {"instance": INSTANCE, "items": database.items(PATH)}


@app.post("/items", status_code=201)
def add_item(item: NewItem) -> dict[str, int | str]:
    return database.add(PATH, item.name)
