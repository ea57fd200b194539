"""``pytsn predict``: what happens in a video, by the nets' own pipeline, on the fly."""
