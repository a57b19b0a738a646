"""Floor 2: one room per outside thing, and no other module imports what it wraps."""
