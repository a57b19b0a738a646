"""Reviewing branches and merging them back into base."""
