"""What the commands do, each under its command's name, and what several of them share.

Actions turn options into values for the runtime. They paint nothing themselves.
"""
