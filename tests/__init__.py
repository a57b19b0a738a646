"""The tests of treedock."""
