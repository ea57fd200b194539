"""Does a net compute what Caffe computed? Runs blob by blob, and their table."""
