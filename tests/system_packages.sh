#!/bin/sh
# Installs the programs that some tests drive, by groups; without arguments, "browser".
#   browser   browsers and a virtual screen
#   bench     a C compiler, and servers to measure beside
#   deploy    proxies, Prometheus' checker and systemd's
#   cluster   NATS, and what makes networks
#   windows   Wine, and a compiler for programs that run under it
# Where it may not, it says so; the tests that need them are then skipped with that reason.
set -u

missing=""
for group in "${@:-browser}"; do
    case $group in
    browser)
        command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
        command -v firefox-esr >/dev/null 2>&1 || command -v firefox >/dev/null 2>&1 ||
            missing="$missing firefox-esr ffmpeg" # whose libraries decode H.264 for it
        command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
        ;;
    deploy)
        for program in nginx haproxy caddy openssl; do
            [ -x "/usr/sbin/$program" ] || command -v "$program" >/dev/null 2>&1 ||
                missing="$missing $program"
        done
        command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
        command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
        ;;
    cluster)
        [ -x /usr/sbin/nats-server ] || command -v nats-server >/dev/null 2>&1 ||
            missing="$missing nats-server"
        [ -x /sbin/ip ] || command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
        command -v nsenter >/dev/null 2>&1 || missing="$missing util-linux"
        ;;
    windows)
        command -v wine64 >/dev/null 2>&1 || [ -x /usr/lib/wine/wine64 ] ||
            missing="$missing wine64"
        command -v x86_64-w64-mingw32-gcc >/dev/null 2>&1 ||
            missing="$missing gcc-mingw-w64-x86-64-win32"
        ;;
    bench)
        command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
        [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] ||
            missing="$missing nginx libnginx-mod-nchan"
        command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
        ;;
    *)
        echo "unknown group: $group" >&2
        exit 2
        ;;
    esac
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing (no apt-get here; install them by hand)" >&2
    exit 0
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "not installed:$missing (run: sudo apt-get install$missing)" >&2
        exit 0
    fi
    as_root="sudo"
fi
# Debian starts the services that it installs; here they are programs for tests.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
log=$(mktemp)
# shellcheck disable=SC2086
if ! { $as_root apt-get update && DEBIAN_FRONTEND=noninteractive \
        $as_root apt-get install -o DPkg::Lock::Timeout=300 -y \
        --no-install-recommends $missing; } >"$log" 2>&1; then
    echo "not installed:$missing ($(tail -n 1 "$log"))" >&2
fi
rm -f "$log"
