"""The entry point script of several images: an option goes to the default program, anything else runs as given."""
# mypy: ignore-errors

import os
import sys

DEFAULTS = {
    "/docker-entrypoint.sh": "nginx",
    "/usr/local/bin/docker-entrypoint.sh": "redis-server",
    "/entrypoint.sh": "curl",
}
arguments = sys.argv[1:]
default = next(
    program for path, program in sorted(DEFAULTS.items(), key=lambda item: -len(item[0])) if sys.argv[0].endswith(path)
)
if not arguments or arguments[0].startswith("-") or "://" in arguments[0]:
    arguments = [default, *arguments]
if os.path.basename(arguments[0]) not in ("nginx", "redis-server"):
    ready()
try:
    os.execvp(arguments[0], arguments)
except OSError as problem:
    sys.stderr.write(f"{sys.argv[0]}: exec: {arguments[0]}: {problem.strerror.lower()}\n")
    sys.exit(127)
