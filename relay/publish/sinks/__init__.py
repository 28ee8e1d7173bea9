"""Where frames go: `shm` on this host, `websocket` to a relay elsewhere.

Knows nothing of media beyond `model`.
"""
