"""Everything that asks git, on real repositories."""
