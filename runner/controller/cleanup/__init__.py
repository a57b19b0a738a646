"""Removing instances without losing work."""
