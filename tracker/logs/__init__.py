"""The log: where lines go, how they are masked and bounded, and the threads that write them.

Every other package logs through loguru, or through `log.later` where a line must not delay a fill;
`log.configure` is called once at a start. Begin reading at `log`, then `writer`.
"""
