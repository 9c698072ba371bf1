"""A page to look at: what is in an output folder, and what is being painted there now."""
