"""The OpenStack that is brought up where there is none: node, lifecycle, name space, forwards.

Nothing is imported here: the bridge, and what only enters the name space, shall start quickly and stay small.
"""
