"""Checks whether a net computes what Caffe computed: runs compared blob by blob, and their table."""
