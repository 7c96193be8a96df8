"""An independent oracle: what is right after a life's events, recomputed from the rules page alone.

It imports nothing of the tracker and was written by someone who had not opened its core.
"""
