"""The optimisation of one photo: style and content targets, the objective, levels from coarse to fine.

It knows no folders, journals or plans: pictures come in, and pictures go out.
"""
