"""Decisions about git's configuration: drivers and hooks."""
