"""The log: where lines go, how they are masked and bounded, and the threads that write them.

Every other package logs through loguru, or through `log.later` where a line must not delay a fill; each
command that logs calls `log.configure` once. Begin reading at `log`, then `writer`.
"""
