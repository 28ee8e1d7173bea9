"""One file is one peer: a program as `tests.bench.contestants` calls it."""
