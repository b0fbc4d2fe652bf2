"""Compares what a CA says with what the journal of a run has."""
