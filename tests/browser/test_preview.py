"""Previews in a real browser: two instances at once, each with its own data and hot reload."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.running import Cli

pytestmark = [pytest.mark.engine, pytest.mark.browser]

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def previews(tmp_path: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Two instances of the demo: worktree and frontend URL of each by id."""
    folder = tmp_path / "demo"
    assert Cli(tmp_path)("demo", str(folder)).exit_code == 0
    cli = Cli(folder)
    answer = cli("up", "auth", "search", "--json", timeout=900)
    assert answer.exit_code == 0, answer.stderr
    yield {
        view["id"]: {"tree": view["worktree"], "url": view["urls"]["frontend"]}
        for view in answer.json["instances"]
    }
    cli("clean", "--all", "--force")


@pytest.fixture
def pages(previews: dict[str, dict[str, str]]) -> Iterator[dict[str, Page]]:
    """Each preview in a tab of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tabs = {}
        for name, preview in previews.items():
            tabs[name] = browser.new_page()
            tabs[name].goto(preview["url"])
        yield tabs
        browser.close()


def test_two_previews_show_their_own_data_and_reload_apart(
    previews: dict[str, dict[str, str]], pages: dict[str, Page]
) -> None:
    for name, page in pages.items():
        shown = page.get_by_test_id("instance")
        shown.wait_for()
        page.wait_for_function(
            "name => document.querySelector('[data-testid=instance]').textContent === name",
            arg=name,
        )
        page.get_by_label("New item").fill(f"sold by {name}")
        page.get_by_role("button", name="Add").click()
        page.get_by_text(f"sold by {name}").wait_for()
    assert pages["auth"].get_by_text("sold by search").count() == 0

    for page in pages.values():  # what a full reload would wipe out
        page.evaluate("window.stillTheSamePage = true")
    source = Path(previews["auth"]["tree"]) / "app/client/src/App.jsx"
    source.write_text(source.read_text().replace("Corner shop", "Corner shop, reloaded"))
    pages["auth"].get_by_role("heading", name="Corner shop, reloaded").wait_for()
    assert pages["auth"].evaluate("window.stillTheSamePage") is True
    assert pages["search"].get_by_role("heading").text_content() == "Corner shop"
