"""The catalogue of images: stand-ins written here, so that pods run without a registry, Docker or a network.

`catalogue.py` says which images there are and what each one starts by default (Docker's ENTRYPOINT, CMD, ENV, …);
`unpack.py` lays an image out as a directory of programs, which becomes the lowest layer of a container's files, or in
mode plain a part of its PATH. The other files are those programs: each is a script of the standard library alone, with
`ready.py` at its head, or a part of one (`serving.py`, `servers.py` and `webhooks.py` of `agnhost.py`).

Any registry and tag is accepted: `nginx`, `nginx:1.25`, `docker.io/library/nginx@sha256:…` are all the nginx from here.
"""
