"""What a database reset reads."""
