"""Snapshots of what set-up steps make: used, built, removed."""
