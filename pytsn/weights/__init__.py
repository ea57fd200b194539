"""Weight files: downloads the released ones, and identifies any file and checks whether it is intact."""
