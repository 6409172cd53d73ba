"""What all operations share: statistics, masks, scores, checks, tiles and the float64 reference."""
