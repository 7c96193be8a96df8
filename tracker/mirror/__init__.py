"""`tracker mirror`: one alerts.json kept in step with the shared store.

Called by `tracker mirror`. It decides nothing about fills, and connects to no gateway. Begin reading at
`mirror`; `mirror_process` runs it, `file_copy` writes a file for programs that only read.
"""
