"""The settings: what there is to set, and which file, variable or flag said it.

Every command loads them first (`loader.load`); everybody else receives plain values. Begin reading at
`settings`.
"""
