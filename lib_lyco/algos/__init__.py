"""What an adapter does to a weight: one file per algorithm, torch only."""
