"""What a database reset reads, and what the data of an instance begins with."""
