"""The container engine: its Protocol, and Docker behind it."""
