"""``pytsn finetune``: trains a TSN on lists of videos, with the same loop as ``pytsn train``."""
