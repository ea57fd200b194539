"""``pytsn ablation``: the papers' ablation tables on the user's dataset."""
