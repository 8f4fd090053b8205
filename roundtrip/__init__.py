"""What both ends of the link mean by a loop: machines, messages, stages, budget, contacts."""
