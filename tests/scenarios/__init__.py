"""What a person does, on real repositories and the real engine."""
