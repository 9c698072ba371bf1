"""The words of the command line: one file for each command, with its options and its help, and nothing else.

A command calls the action of the same name, which is imported only then: ``--help`` waits for nothing.
"""
