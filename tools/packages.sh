#!/bin/sh
# Debian packages that tests use. Installs what is missing where it may (root and apt); else says which tests will skip.
# And axe-core from npm, which judges how accessible the pages are: a development tool, not part of the workshop.
set -u

fetch_axe() {
    axe=.cache/axe-core
    [ ! -e $axe/package/axe.min.js ] && command -v npm >/dev/null 2>&1 || return 0
    mkdir -p $axe && (cd $axe && npm pack axe-core@4.11.1 --silent >/dev/null && tar xzf axe-core-*.tgz && rm -f axe-core-*.tgz) ||
        echo "axe-core cannot be fetched, so the pages' accessibility is not judged"
}

missing=""
for pair in etcd:etcd-server etcdctl:etcd-client ip:iproute2 nft:nftables nsenter:util-linux \
    chromium:chromium dockerd:docker.io docker-compose:docker-compose busybox:busybox-static npm:npm; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || { fetch_axe; exit 0; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # Debian starts etcd as a service of the machine when it is installed; the tests only want the program.
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes; }
    apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 ||
        { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends $missing >/dev/null; }
    status=$?
    [ "${made:-}" != yes ] || rm -f $policy
    [ $status = 0 ] || [ "${CI:-}" != true ] || exit 1
    fetch_axe
    exit 0
fi
fetch_axe
echo "not installed, so the tests that use them are skipped:$missing (sudo apt install$missing)"
