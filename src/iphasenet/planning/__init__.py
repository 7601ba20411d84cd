"""Checks and cost of a run, before anything runs.

In: a configuration. Out: one line if it cannot run (`configuration.check_configuration`), memory, disk and time of
each job (`job_resources`, `disk`, `plan.make_plan`), and what a cluster offers (`cluster`). `regeneration` simulates a
stored sample again from the configuration that its store holds.
"""
