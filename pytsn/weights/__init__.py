"""Weight files that users find: getting the released ones, telling what a file is and whether it is whole."""
