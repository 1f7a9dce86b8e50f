"""Running checks: each in its own thread with its own timeout (`runner`), and probing one monitored address (`probes`)."""
