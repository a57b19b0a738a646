"""What set-up steps make, and which files decide it."""
