"""Jobs of a sweep on a Slurm cluster: settings, what the queue says, submission and watching, and the part on the node."""
