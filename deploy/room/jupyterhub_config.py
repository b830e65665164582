"""JupyterHub for a room on one machine. Read by `jupyterhub -f`, by the compose file beside it, and by TLJH.

Settings come from the environment:

    ROOM_PASSWORD, ADMIN_PASSWORD   one for the room, one for the administrator `instructor`
    SPAWNER                         docker (a container a learner), simple (for trying), keep (TLJH has chosen already)
    LEARNERS                        how many at most (40)
    CPU, MEMORY                     of one learner (2 cores at most, 2G)
    BOARD_TOKEN, LEARNERS_TOKEN     the instructor's board: who opens it, who may report to it; made when not given
    ADDRESS                         where the hub listens (http://127.0.0.1:8000)
    INSIDE                          where the learners' servers reach it, if that is another address
    BOARD_ADDRESS                   where the board listens, for the hub's proxy (127.0.0.1:8900)
"""

import os
import secrets
import sys

c = get_config()  # noqa: F821  JupyterHub defines it
spawner = os.environ.get("SPAWNER", "docker")
address = os.environ.get("ADDRESS", "http://127.0.0.1:8000")

# -- who may come in: any name, one password; the administrator has another
if spawner != "keep":
    for name, least in (("ROOM_PASSWORD", 8), ("ADMIN_PASSWORD", 32)):
        if len(os.environ.get(name, "")) < least:
            sys.exit(f"set {name}, with {least} letters at least")
    c.JupyterHub.bind_url = address
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = os.environ["ROOM_PASSWORD"]
    c.SharedPasswordAuthenticator.admin_password = os.environ["ADMIN_PASSWORD"]
    c.Authenticator.allow_all = True
    c.Authenticator.admin_users = {"instructor"}
    # a learner's name becomes a container's and a folder's
    c.Authenticator.username_pattern = r"^[a-z0-9][a-z0-9-]{0,30}$"

# -- one lab server each
c.JupyterHub.active_server_limit = int(os.environ.get("LEARNERS", "40"))
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.default_url = "/lab/tree/labs/index.ipynb"
c.Spawner.cpu_limit = float(os.environ.get("CPU", "2"))
c.Spawner.mem_limit = os.environ.get("MEMORY", "2G")
c.Spawner.start_timeout = c.Spawner.http_timeout = 120

# -- the instructor's board, as a service of the hub
board, learners = (os.environ.get(name) or secrets.token_urlsafe(16) for name in ("BOARD_TOKEN", "LEARNERS_TOKEN"))
listens = os.environ.get("BOARD_ADDRESS", "127.0.0.1:8900")
c.JupyterHub.services = [
    {
        "name": "board",
        "url": f"http://{listens}",
        "command": [sys.executable, "-m", "workshop", "instructor", "--address", listens],
        "environment": {
            "WORKSHOP_BOARD_TOKEN": board,
            "WORKSHOP_INSTRUCTOR_TOKEN": learners,
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        },
        "oauth_no_confirm": True,
        "display": False,
    }
]
reached = os.environ.get("INSIDE", address)
c.Spawner.environment = {
    "WORKSHOP_INSTRUCTOR_URL": f"{reached}/services/board",
    "WORKSHOP_INSTRUCTOR_TOKEN": learners,
}
print(f"the instructor's board: {address}/services/board/?token={board}", flush=True)

# -- where they run
if spawner == "docker":
    c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
    c.JupyterHub.hub_ip = "0.0.0.0"
    c.JupyterHub.hub_connect_ip = os.environ.get("HUB_NAME", "hub")
    c.DockerSpawner.image = os.environ.get("IMAGE", "kubernetes-under-the-hood")
    c.DockerSpawner.network_name = os.environ.get("NETWORK", "workshop-room")
    c.DockerSpawner.use_internal_ip = True
    c.DockerSpawner.remove = True
    c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
    c.DockerSpawner.notebook_dir = "/home/learner"
    c.DockerSpawner.volumes = {"workshop-{username}": "/home/learner"}
    # a cluster's processes need no privilege
    c.DockerSpawner.extra_host_config = {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 2000,
    }
elif spawner == "simple":
    c.JupyterHub.spawner_class = "simple"
    homes = os.environ.get("HOMES", "/tmp/workshop-room")
    c.SimpleLocalProcessSpawner.home_dir_template = f"{homes}/{{username}}"
    c.Spawner.notebook_dir = f"{homes}/{{username}}"
    if os.geteuid() == 0:
        c.Spawner.args = ["--allow-root"]
    labs = os.environ.get("LABS", os.path.join(os.getcwd(), "labs"))

    def own_labs(one):
        """A copy of the labs for this learner; what is there stays."""
        import shutil

        target = os.path.join(homes, one.user.name, "labs")
        if not os.path.isdir(target):
            shutil.copytree(labs, target, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))

    c.Spawner.pre_spawn_hook = own_labs

# -- a server that nobody uses for an hour goes; the learner's files stay
if os.environ.get("CULL", "yes") == "yes" and spawner != "keep":
    c.JupyterHub.load_roles = [
        {
            "name": "idle-culler",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["idle-culler"],
        }
    ]
    c.JupyterHub.services.append(
        {"name": "idle-culler", "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"]}
    )
