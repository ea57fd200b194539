"""The basis of every job: processes, devices, cores, stop signals, locks, and work that can be continued later."""
