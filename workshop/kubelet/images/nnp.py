"""nnp: says as whom it runs. Upstream's file has the set-user-id bit; a script has no use of it."""
# mypy: ignore-errors

import os

print(f"Effective uid: {os.geteuid()}")
