#!/usr/bin/env bash
# apt-install.sh PACKAGE... installs Debian packages as root and keeps their
# services from starting. Called by setup.sh.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# No PostgreSQL cluster on port 5432: only the programs are wanted.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi

# policy-rc.d is Debian's way to say "install, but do not start". A policy that
# the machine already has is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

# Another apt-get may be at work (unattended upgrades): wait for it.
apt=(apt-get -y -o DPkg::Lock::Timeout=300)
"${apt[@]}" install --no-install-recommends "$@" || {
  "${apt[@]}" update
  "${apt[@]}" install --no-install-recommends "$@"
}
