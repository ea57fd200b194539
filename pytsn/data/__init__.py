"""From a split or a list to pixels: chooses videos, frames and crops."""
