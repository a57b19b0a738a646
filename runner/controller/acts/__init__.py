"""What carries the verbs out: a file per room, a function per verb (runner.controller.table)."""
