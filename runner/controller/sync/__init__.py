"""Commits between an instance and the main repository."""
