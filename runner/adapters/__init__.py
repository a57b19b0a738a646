"""Floor 2: one module per outside thing, and nobody else imports what it wraps."""
