# Shared by the scripts in this folder; sourced, never run.
# shellcheck shell=bash

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# What setup fetches lives here, outside version control. FERRY_CACHE shares it between clones.
# shellcheck disable=SC2034
deps="${FERRY_CACHE:-$repo/build/deps}"
node_major_min=20

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "this step needs root: $*"
  fi
}

# Runs a command again once when it fails: package mirrors hiccup.
twice() {
  "$@" || {
    say "failed, once more: $*"
    sleep 3
    "$@"
  }
}

# One query for all packages; forgotten after an installation.
installed_packages=''
is_installed() {
  [[ -n $installed_packages ]] ||
    installed_packages=$'\n'"$(dpkg-query --show --showformat='${Package}=${db:Status-Status}\n')"$'\n'
  [[ $installed_packages == *$'\n'"$1=installed"$'\n'* ]]
}

# "a|b" → the one that is installed, else the first that this release offers.
choose_package() {
  local alternatives name
  IFS='|' read -r -a alternatives <<<"$1"
  for name in "${alternatives[@]}"; do
    if is_installed "$name"; then
      printf '%s\n' "$name"
      return
    fi
  done
  for name in "${alternatives[@]}"; do
    if [[ -n "$(apt-cache madison "$name" 2>/dev/null)" ]]; then
      printf '%s\n' "$name"
      return
    fi
  done
  printf '%s\n' "${alternatives[0]}"
}

# Packages may start a service when they are installed (nginx does). Ours are for tests that start their own.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [[ -e $policy ]]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  "$@" || status=$?
  as_root rm -f "$policy"
  return "$status"
}

# Installs what is missing of its arguments; asks no mirror when nothing is.
apt_install() {
  local entry name missing=()
  for entry in "$@"; do
    if [[ $entry != *'|'* ]]; then
      is_installed "$entry" || missing+=("$entry")
      continue
    fi
    name="$(choose_package "$entry")"
    is_installed "$name" || missing+=("$entry")
  done
  ((${#missing[@]})) || return 0

  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300)
  twice as_root "${apt[@]}" update
  local chosen=()
  for entry in "${missing[@]}"; do
    chosen+=("$(choose_package "$entry")")
  done
  say "installing: ${chosen[*]}"
  twice without_services as_root "${apt[@]}" install --no-install-recommends "${chosen[@]}"
  installed_packages=''
  for name in "${chosen[@]}"; do
    if [[ $name == nginx* ]] && have systemctl; then
      as_root systemctl disable nginx.service >/dev/null 2>&1 || true
    fi
  done
}

node_is_recent() {
  local major
  have "$1" || return 1
  major="$("$1" --version)"
  major="${major#v}"
  ((${major%%.*} >= node_major_min))
}

# Installs what a folder's lock file says; no package's own install script runs.
npm_ci() {
  twice npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
}

# The clang to build with: the oldest one at hand that is at least 16.
find_clang() {
  local version
  for version in 16 17 18 19 20 21; do
    if have "clang++-$version"; then
      printf '%s\n' "$version"
      return
    fi
  done
  return 1
}
