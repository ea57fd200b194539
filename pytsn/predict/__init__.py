"""``pytsn predict``: classifies a video on the fly, with the same pipeline as the evaluation."""
