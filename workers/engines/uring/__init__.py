"""Fan-out through io_uring: the kernel's layouts, one ring, and the engine on top of it."""
