"""What paints the tasks of a plan: this host, a process for each GPU, or the actors of a Ray cluster.

Workers decode, paint and encode. They neither save nor journal a painting: that is left to the batch, in one thread.
"""
