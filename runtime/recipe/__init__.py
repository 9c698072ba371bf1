"""What decides the pixels of a painting: the settings, the presets of the field, and their fingerprint.

These are plain values: nothing here reads a file or computes a picture.
"""
