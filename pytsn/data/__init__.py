"""From a split or a list to pixels: which videos, which frames, which crops."""
