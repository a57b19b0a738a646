"""A project and a machine: init, demo, doctor, config."""
