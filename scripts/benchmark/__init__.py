"""The measurements that `scripts/bench.py` runs, each with its baseline."""
