"""The settings: which there are, and which file, variable or flag each value came from.

Every command loads them first (`loader.load`); all other modules receive plain values. Begin reading at
`settings`.
"""
