# The workshop in one image: JupyterLab, the labs, and clusters of processes inside the container.
#
#   docker compose up                                  what most people want; see docker-compose.yml
#   docker build --build-arg BASE=python:3.12-slim .   another base: it needs Python 3.11 or newer with venv, and a shell
#   docker build --build-arg PIP_OPTIONS="--no-index --find-links=build/wheels" .   without a network
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# what a lab's terminal wants beside Python; a base that cannot install them (no apt, no network) has to have them
ARG PACKAGES="procps iproute2 curl"
RUN if [ -n "$PACKAGES" ] && command -v apt-get >/dev/null; then \
        apt-get update -q && apt-get install -y -q --no-install-recommends $PACKAGES && rm -rf /var/lib/apt/lists/*; \
    fi

ARG PIP_OPTIONS=""
# more for the environment: a hub's learners need its own version of jupyterhub, EXTRAS="jupyterhub==5.*"
ARG EXTRAS=""
WORKDIR /opt/workshop/source
# build/wheels is there only when somebody put wheels into it; pyproject.toml keeps the pattern from being empty
COPY requirements.lock pyproject.toml build/wheel[s] ./build/wheels/
RUN python3 -m venv /opt/workshop/venv \
    && python3 -c "import tomllib; print(*tomllib.load(open('build/wheels/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > wanted.txt \
    && /opt/workshop/venv/bin/pip install --no-cache-dir --disable-pip-version-check ${PIP_OPTIONS} \
        -c build/wheels/requirements.lock -r wanted.txt "setuptools>=77" $EXTRAS \
    && rm -r build wanted.txt

COPY pyproject.toml README.md LICENSE ./
COPY workshop ./workshop
COPY labs ./labs
COPY tools/jupyterlab ./tools/jupyterlab
RUN /opt/workshop/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --no-index . \
    && rm -r /opt/workshop/source/*
COPY deploy/container/start.py /opt/workshop/start.py

# no useradd in the smallest bases: two lines do the same
RUN echo 'learner:x:1000:1000:learner:/home/learner:/bin/sh' >> /etc/passwd && echo 'learner:x:1000:' >> /etc/group \
    && mkdir -p /home/learner && chown 1000:1000 /home/learner
ENV PATH=/opt/workshop/venv/bin:$PATH HOME=/home/learner SHELL=/bin/bash PYTHONUNBUFFERED=1 LANG=C.UTF-8
USER 1000:1000
WORKDIR /home/learner
VOLUME /home/learner
EXPOSE 8888
ENTRYPOINT ["python", "/opt/workshop/start.py"]
