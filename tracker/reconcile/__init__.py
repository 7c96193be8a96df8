"""Compare the tracker's ledger, the alert store and the broker, and repair what follows from facts."""
