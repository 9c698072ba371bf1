"""What a run will do, before it does anything: which photos, where their paintings go, what is out of date, what fits.

Nothing here evaluates a graph or writes a file.
"""
