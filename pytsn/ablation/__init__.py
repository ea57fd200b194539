"""``pytsn ablation``: the papers' tables on a dataset of the user's."""
