"""A second lab beside the first: scenarios that may leave a solution in any state have one of their own meanwhile.

It is opened in a process of its own, which the first lab tells what to do, and which tells what it saw. Where it does
not come up, or ends early, the first lab sees to what is missing.
"""
