"""How a worker's bytes reach its viewers: one contract, one file for each mechanism."""
