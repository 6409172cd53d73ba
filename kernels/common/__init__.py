"""What all operations share: results, masks, scores, checks, tiles and the float64 reference."""
