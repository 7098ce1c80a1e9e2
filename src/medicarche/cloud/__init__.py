"""OpenStack I/O: connecting, observing, checking, acting. All calls to a cloud's API leave from here.

Nothing is imported here: who begins to connect (`medicarche.connecting`) waits for no more than that needs.
"""
