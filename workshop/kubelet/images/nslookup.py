"""nslookup: asks the system's resolver."""
# mypy: ignore-errors

import socket
import sys

if len(sys.argv) < 2:
    sys.stderr.write("Usage: nslookup HOST\n")
    sys.exit(1)
try:
    found = sorted({entry[4][0] for entry in socket.getaddrinfo(sys.argv[1], None)})
except OSError as problem:
    sys.stderr.write(f"nslookup: can't resolve '{sys.argv[1]}': {problem.strerror}\n")
    sys.exit(1)
print(f"Name:      {sys.argv[1]}")
for number, address in enumerate(found, 1):
    print(f"Address {number}: {address}")
