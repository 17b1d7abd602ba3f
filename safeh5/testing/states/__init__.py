"""Every disk state that a crash may leave of a workload, built and recovered.

=============  =============================================================
`events`       the trace of a workload
`recorder`     records what a process does to a directory
`promises`     leaves marks in the trace of what was promised
`life`         a recorded process
`workload`     what is recorded, and how
`disk`         a disk below a page cache: what is left when the power goes
`choices`      which states a crash may leave
`contents`     what the target may hold
`history`      what may be found at each point of a trace
`check`        recovers one state and looks
`proof`        the recorder proves itself
`explore`      goes through the states of a recording
`workloads`    the built-in workloads
=============  =============================================================
"""
