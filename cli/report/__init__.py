"""The report of an output folder: its page, its thumbnails, and the server that shows it while it grows."""
