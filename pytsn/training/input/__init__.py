"""What the VideoData layer does: the order of videos, their frames, augmentation, and readers that work ahead."""
