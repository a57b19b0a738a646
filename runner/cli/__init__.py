"""Floor 4: the command line. It parses, calls one verb and shows the answer."""
