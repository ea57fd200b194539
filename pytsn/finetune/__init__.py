"""``pytsn finetune``: a TSN trained on lists of videos, in the solver route's loop."""
