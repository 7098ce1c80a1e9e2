"""Programs that are brought to the instances as they are, and that several applications use there.

They run by the system's Python and import nothing of Medicarche's.
"""
