"""The VideoData layer: the order of videos, their frames, augmentation, and prefetching readers."""
