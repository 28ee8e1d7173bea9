"""Code that tests run in a Windows Python; imported nowhere else."""
