"""Worker processes: one completion loop each, many viewers, one shared listener.

`worker.run_worker` is the whole of a worker's life. What it needs from the product above
it (who may do what, which pages exist) is declared in `ports` and handed in.
"""
