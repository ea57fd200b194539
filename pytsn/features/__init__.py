"""``pytsn features``: any blob of a net, for every snippet of every video."""
