"""Minimisers behind one ask/tell face, and the vectors that they work on.

They see losses, gradients and inner products. They know neither styles nor networks.
"""
