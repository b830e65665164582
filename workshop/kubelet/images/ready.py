# mypy: ignore-errors
def ready():  # stands at the head of each stand-in
    """Tell the shim that signals are handled and ports are bound: from now on it passes signals on."""
    import os

    descriptor = os.environ.pop("WORKSHOP_READY", "")
    if descriptor:
        os.close(int(descriptor))
