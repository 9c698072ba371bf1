"""Ready-made graphs and pretrained weights become a bundle, without PyTorch.

Here live the readers of every file format and layout that weights of a VGG come in, and the package's own graphs.
Nothing here runs a graph or makes one: `exporter.ready` makes the graphs.
"""
