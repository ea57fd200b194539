"""Caffe's random numbers: one MT19937 stream and boost's distributions, or torch's instead."""
