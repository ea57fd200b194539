"""From videos to frames and flow: TV-L1 as the released models were trained on, warped flow, extraction."""
