"""TLJH reads this from /opt/tljh/config/jupyterhub_config.d: start page and the instructor's board.

Users, spawner and limits are TLJH's own (`tljh-config`).
"""

import os
import secrets

c = get_config()  # noqa: F821  JupyterHub defines it
tokens = [os.environ.get(name) or secrets.token_urlsafe(16) for name in ("BOARD_TOKEN", "LEARNERS_TOKEN")]

c.Spawner.default_url = "/lab/tree/labs/index.ipynb"
c.Spawner.environment = {
    "WORKSHOP_INSTRUCTOR_URL": "http://127.0.0.1/services/board",
    "WORKSHOP_INSTRUCTOR_TOKEN": tokens[1],
}
c.JupyterHub.services = [
    {
        "name": "board",
        "url": "http://127.0.0.1:8900",
        "command": ["/opt/tljh/user/bin/workshop", "instructor", "--address", "127.0.0.1:8900"],
        "environment": {"WORKSHOP_BOARD_TOKEN": tokens[0], "WORKSHOP_INSTRUCTOR_TOKEN": tokens[1]},
        "display": False,
    }
]
print(f"the instructor's board: /services/board/?token={tokens[0]}", flush=True)
