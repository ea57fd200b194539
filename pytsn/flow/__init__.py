"""From videos to frames and flow: the TV-L1 flow of the released models, warped flow, extraction."""
