"""Load tests: lifecycles at planned instants, over the same transactions as enrollment."""
