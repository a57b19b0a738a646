"""An instance's life: up, down, restart, exec, warm."""
