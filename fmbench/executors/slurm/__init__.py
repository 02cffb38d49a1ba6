"""SLURM: tasks as elements of job arrays, whose events come back through files in the store."""
