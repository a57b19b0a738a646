"""Landing: the order of branches, the merge queue, paths that a reviewer has to see."""
