"""Run checks in parallel (`runner`) and probe monitored addresses (`probes`)."""
