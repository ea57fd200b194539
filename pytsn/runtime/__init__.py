"""What every job runs on: processes, devices, cores, stop signals, locks, and work that can be continued later."""
