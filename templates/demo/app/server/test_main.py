import pytest
from fastapi.testclient import TestClient

import database
import main


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "PATH", tmp_path / "app.db")
    database.create(main.PATH, "test")
    return TestClient(main.app)


def test_a_fresh_database_names_its_instance(shop):
    names = [item["name"] for item in shop.get("/items").json()["items"]]
    assert names == ["Apples of test", "Bread of test", "Coffee of test"]


def test_an_added_item_comes_last(shop):
    assert shop.post("/items", json={"name": "Milk"}).status_code == 201
    assert shop.get("/items").json()["items"][-1]["name"] == "Milk"


def test_an_item_needs_a_name(shop):
    assert shop.post("/items", json={"name": ""}).status_code == 422


def test_the_server_says_that_it_is_well(shop):
    assert shop.get("/health").json()["status"] == "ok"
