"""sysctl: `sysctl [-n] NAME …` says what is set, `sysctl [-w] NAME=VALUE` sets it."""
# mypy: ignore-errors

import sys

names = [word for word in sys.argv[1:] if not word.startswith("-")]
if not names:
    sys.stderr.write("Usage: sysctl [-nw] [KEY[=VALUE]]...\n")
    sys.exit(1)
for word in names:
    name, equals, value = word.partition("=")
    path = "/proc/sys/" + name.replace(".", "/")
    try:
        if equals:
            with open(path, "w") as file:
                file.write(value)
        with open(path) as file:
            value = file.read().strip()
    except OSError as problem:
        sys.stderr.write(f"sysctl: error: {problem.strerror} on key '{name}'\n")
        sys.exit(1)
    print(value if "-n" in sys.argv else f"{name} = {value}")
