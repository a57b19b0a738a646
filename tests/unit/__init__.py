"""Decisions, files and processes: no engine, and git only as a setting."""
