"""What a picture shows: the classes of ImageNet, by a VGG with its dense layers.

Files: classifier (picture to probabilities), classes.txt (their names).
"""
