"""`tracker reconcile`: compare journal, alert store and broker, import a Flex report, repair.

The rules of the comparison are `core/audit`; here its inputs are read and its result is written. The daemon
calls `in_daemon`, the command line `standalone` where no tracker runs. Begin reading at `audit`.
"""
