"""Scoring videos at test time: the net, the videos, the summary and the published accuracies."""
