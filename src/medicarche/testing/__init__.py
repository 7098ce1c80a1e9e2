"""What the acceptance tests stand on: the environment built once, its machines, what a failure needs told."""
