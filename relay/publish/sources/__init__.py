"""Where frames come from: opening, demuxing, pacing, passing through, encoding.

The feeds (`media_feed`, `demo_feed`) are what the rest of the publisher uses. Knows nothing
of relays and networks.
"""
