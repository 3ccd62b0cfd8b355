"""What flows: counters that every part of the pipeline keeps, and nothing else."""
