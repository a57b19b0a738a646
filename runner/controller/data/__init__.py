"""The database of an instance and its golden state."""
