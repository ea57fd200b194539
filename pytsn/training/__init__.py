"""Training as the original's solvers do it: schedule, loop, snapshots, log."""
