"""What is durable: the record of a run, keys made earlier, and how keys are sealed at rest."""
