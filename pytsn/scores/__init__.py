"""Score files, and aggregation, fusion and accuracy computed from them."""
