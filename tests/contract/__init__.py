"""One suite for both engines: the fake and the real one."""
