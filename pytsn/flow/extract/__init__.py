"""Extracts folders of frames and flow from videos, in worker processes, resumable."""
