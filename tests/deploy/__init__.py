"""Several hosts on one machine: the arrangement of deploy/, really run, each part killed under load."""
