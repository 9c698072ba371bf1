"""What looks on while a run goes: the terminal, events, the log, the status file and the report.

A watcher hears what happens, and changes nothing about it.
"""
