"""One revision a file, each with the tables as they were then: a revision never changes once it was released."""
