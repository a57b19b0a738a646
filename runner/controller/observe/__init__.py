"""Looks: they change nothing."""
