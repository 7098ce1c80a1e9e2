"""The OpenStack that is brought up where there is none: node, lifecycle, name space, forwards."""
