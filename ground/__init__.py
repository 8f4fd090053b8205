"""The ground station: asks questions, keeps the ledger, measures every loop."""
