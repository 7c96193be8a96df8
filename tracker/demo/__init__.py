"""`tracker demo`: the real tracker beside a paper gateway, with every outcome checked.

`processes` starts both, `morning_run` and `scenario_run` play the events, `checks` compares the alert file
with what it must show, `report` prints. Called by the command line. Begin reading at `command`.
"""
