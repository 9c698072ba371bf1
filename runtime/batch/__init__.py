"""A whole run: photos become paintings in an output folder, and each has a row that says what became of it.

This is the top floor: it calls every other room, and no room calls it. How a picture is painted is not decided here.
"""
