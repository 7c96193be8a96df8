"""The long run that `scripts/soak.py` starts: the processes, the faults and the judgement."""
