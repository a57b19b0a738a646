"""How instances stand to base: whether merging conflicts, and whether base holds their work."""

from collections.abc import Mapping, Sequence

from runner.adapters.git.repository import Git
from runner.domain.frozen import dataclass
from runner.domain.instance.record import Record


@dataclass(frozen=True)
class Standing:
    """`integrated`: merging would change nothing although the branch has commits of its own, as
    after a squash merge."""

    conflict: bool
    integrated: bool


def standings(git: Git, records: Sequence[Record]) -> dict[str, Standing]:
    """Of each instance with commits of its own, by the real merge of its last known head with its
    base: one process for all of one base. Raises Refused and GitFailed."""
    from runner.adapters.git.rehearsal import rehearsal

    heads = git.refs("refs/heads", "refs/remotes")
    by_base: dict[str, dict[str, str]] = {}
    found: dict[str, Standing] = {}
    for record in records:
        head = heads.get(f"refs/heads/{record.git.branch}")
        base = _base(git, heads, record.git.base)
        begun = record.git.base_commit if record.git.created_branch else base
        if head and base and head != begun:
            by_base.setdefault(base, {})[record.id] = head
        elif head:
            found[record.id] = Standing(conflict=False, integrated=False)
    for base, ids in by_base.items():
        with rehearsal(git, base) as place:
            nothing, *merged = place.merges([(base, base), *((base, h) for h in ids.values())])
        for id_, one in zip(ids, merged, strict=True):
            found[id_] = Standing(one.tree is None, one.tree == nothing.tree)
    return found


def _base(git: Git, heads: Mapping[str, str], name: str) -> str | None:
    """Base as merge would begin from it: ours, else the one at its remote."""
    return heads.get(f"refs/heads/{name}") or heads.get(f"refs/remotes/{git.tracking(name)}")
