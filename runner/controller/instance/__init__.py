"""The parts of an instance, each made so by one module."""
