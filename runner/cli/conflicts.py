"""conflicts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from runner.cli import completion, output
from runner.cli.output import printable
from runner.cli.run import run

if TYPE_CHECKING:
    from runner.domain.landing.comparison import Compared, Conflicts, Pair
    from runner.domain.landing.order import Unmergeable
    from runner.domain.requests.landing import Comparison

NAMED = 5  # files that a line names before it counts the rest
ROWS = 100  # lines of a section before the rest is counted


@click.command("conflicts")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.ids)
@output.as_json
def conflicts_command(ids: tuple[str, ...], json_: bool) -> int:
    """Show which instances conflict with base and with each other, and the order to merge in.

    By the real merge, uncommitted work included; nothing is changed. Without ID: all instances.
    """
    from runner.domain.requests.landing import Compare

    answer = run(Compare(ids=ids))
    return output.finish(answer, lambda: _show_all(answer), json_=json_)


def _show_all(answer: "Comparison") -> None:
    if not answer.results:
        click.echo("There are no instances. Start one with: treedock up ID", err=True)
        return
    for number, one in enumerate(answer.bases):
        click.echo("\n" if number else "", nl=False)
        _show(one)


def _show(seen: "Conflicts") -> None:
    rows = [[one.id, _state(one), _files(one.files), _notes(one)] for one in seen.compared]
    output.show_table(["ID", f"WITH {seen.base}", "FILES", "NOTES"], rows)
    for section in (_pair_lines(seen), _order_lines(seen)):
        lines = list(section)
        if lines:
            click.echo("\n" + "\n".join(printable(line) for line in lines))


def _state(one: "Compared") -> str:
    if one.conflict is None:
        return "?"
    if one.conflict:
        return "conflict"
    return "nothing new" if one.nothing_new else "clean"


def _notes(one: "Compared") -> str:
    notes = ["as last synced"] if one.error and one.conflict is not None else []
    if one.dirty_included:
        notes.append("with uncommitted work")
    if one.skipped:
        reasons = [f"{file.path} ({file.reason})" for file in one.skipped]
        notes.append(f"without {_several(reasons)}")
    return "; ".join(notes)


def _pair_lines(seen: "Conflicts") -> Iterator[str]:
    """Pairs that conflict; those that only meet where one of them meets base are counted."""
    with_base = {one.id: set(one.files) for one in seen.compared}
    real = [pair for pair in seen.pairs if pair.conflict]
    shown = [pair for pair in real if not _is_of_base(pair, with_base)]
    for pair in shown[:ROWS]:
        yield f"{pair.a} and {pair.b} conflict in {_files(pair.files) or 'renamed folders'}"
    if len(shown) > ROWS:
        yield f"and {len(shown) - ROWS} more pairs"
    hidden = len(real) - len(shown)
    if hidden:
        yield f"{_pairs(hidden)} only where one conflicts with {seen.base} already"
    harmless = sum(bool(pair.both_touch) and not pair.conflict for pair in seen.pairs)
    if harmless:
        what = "changes" if harmless == 1 else "change"
        merges = "merges" if harmless == 1 else "merge"
        yield f"{_count(harmless)} {what} the same files and {merges} cleanly (--json names them)"


def _is_of_base(pair: "Pair", with_base: dict[str, set[str]]) -> bool:
    files = set(pair.files)
    return bool(files) and any(files <= with_base[id] for id in (pair.a, pair.b))


def _pairs(count: int) -> str:
    return "1 pair conflicts" if count == 1 else f"{count} pairs conflict"


def _count(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _order_lines(seen: "Conflicts") -> Iterator[str]:
    order = seen.order
    if not order.ids:
        return
    landing = order.ids[: order.lands]
    if landing:
        yield f"Recommended order: {', '.join(landing)}"
    better = f" ({order.given_lands} in the order given)"
    much = better if order.given_lands != order.lands else ""
    yield f"{order.lands} of {len(order.ids)} land without conflict in it{much}."
    for unmergeable in order.remaining[:ROWS]:
        yield _unmergeable_line(unmergeable, seen.base)
    dirty = [one.id for one in seen.compared if one.dirty_included and one.id in landing]
    if dirty:
        yield f"Commit first what is uncommitted in {', '.join(dirty)}"
    if landing:
        yield f"Merge them with: treedock merge {' '.join(landing)}"


def _unmergeable_line(unmergeable: "Unmergeable", base: str) -> str:
    others = base if unmergeable.base else ", ".join(unmergeable.conflicts_with) or "those together"
    files = f" in {_files(unmergeable.files)}" if unmergeable.files else ""
    always = ", in any order" if unmergeable.in_any_order else ""
    return f"{unmergeable.id} conflicts with {others}{files}{always}"


def _files(files: tuple[str, ...]) -> str:
    return _several(list(files))


def _several(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
