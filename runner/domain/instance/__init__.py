"""An instance: its record, names, ports, environment, container and state."""
