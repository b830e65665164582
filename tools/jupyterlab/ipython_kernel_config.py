"""Every kernel of the labs knows the workshop from its start: also a restarted one, before its first cell has run."""

c = get_config()  # noqa: F821  IPython gives it
c.IPKernelApp.extensions = ["workshop.lessons"]
