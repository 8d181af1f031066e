"""The batch of tasks a learner is given: what it must be, how it is laid out and weighed."""
