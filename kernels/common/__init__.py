"""What every operation shares: masks, checks, choice, registration, tiles, the reference."""
