"""A record to begin with."""

from runner.domain.instance.record import Lineage, Record

AUTH = Record(
    id="auth",
    project="shop",
    git=Lineage("feature/auth", "main", "1" * 40),
    checkout="/shop",
    worktree="/shop/trees/auth",
    created_at="2026-01-31T09:30:00Z",
    ports={"backend": 9101},
    slot=1,
)
