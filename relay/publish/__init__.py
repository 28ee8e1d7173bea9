"""`relay-publish`: sends a camera, screen, file, URL or test pattern to a relay.

`sources` make encoded frames, `sinks` take them, `pump` moves them, `application` puts it
together; `model` has the vocabulary. Only `sources`, `pattern` and `application` import PyAV
and numpy.
"""
