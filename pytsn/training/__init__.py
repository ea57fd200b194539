"""Training as in the original's solvers: schedule, loop, snapshots, log."""
