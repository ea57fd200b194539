"""Warped flow: optical flow without the camera's motion."""
