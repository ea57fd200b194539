"""``pytsn report``: one self-contained HTML page about score files."""
