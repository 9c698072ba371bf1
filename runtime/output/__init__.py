"""What an output folder holds: paintings, and what nstbatch remembers of them in ``.nstbatch``.

Journal, lock, checkpoints, snapshots and the list of runs are here, for folders of this host and behind URLs.
Nothing here paints.
"""
