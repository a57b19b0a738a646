"""Text that treedock writes for people and tools: the starter file, a Compose file."""
