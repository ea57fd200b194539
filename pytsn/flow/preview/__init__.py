"""The contact sheet of a video's flow."""
