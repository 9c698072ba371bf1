"""Pictures: files to pixels and back, sizes, colours, and regions by masks.

Nothing here knows a network.
"""
