"""The bundle: the one thing that passes from the exporter to the runtime, and what it takes of memory.

Nothing here runs a graph.
"""
