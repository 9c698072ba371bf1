"""Files and objects behind URLs: where they are, how they are read, and how they are written whole or not at all.

Nothing here knows what is in them.
"""
