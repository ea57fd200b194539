"""Videos to folders of frames and flow, by worker processes, resumable."""
