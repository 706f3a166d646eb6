#!/bin/sh
# Installs the service and tries what an operator would, and what befalls one. For a machine to throw away: as root, with systemd, curl and sudo.
#   tools/service/prove.sh /opt/gfedge/bin/gfedge         of a wheel, or /opt/gfedge/gfedge of the binary's folder
# In a container, systemd is its first process: docker run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --cgroupns private
# --tmpfs /run IMAGE sh -c 'mount -o remount,rw /sys/fs/cgroup; exec /lib/systemd/systemd'; with cgroups 1, each folder in there is remounted too.
set -eu
program=$1
settings=/etc/gfedge/gfedge.toml
at=http://127.0.0.1:8000
say() { echo "== $*"; }
show() { systemctl show -P "$1" gfedge; }
answers() { for _ in $(seq 100); do curl -sf -o /dev/null $at/health && return; sleep 0.2; done; echo "no answer" >&2; exit 1; }
refused() { if "$@" 2>/dev/null; then echo "$* was taken" >&2; exit 1; fi; }
came_back() { for _ in $(seq 100); do [ "$(show MainPID)" != "$1" ] && [ "$(show ActiveState)" = active ] && return; sleep 1; done; echo "it did not come back" >&2; exit 1; }
logged() { journalctl -u gfedge -o cat --no-pager | grep -q "$1"; }

say install
"$program" install-service
systemctl enable --now gfedge gfedge-backup.timer
answers
systemd-analyze security gfedge --no-pager | tail -n 1

say a picture
curl -sf -H 'Prefer: wait=60' --json '{"prompt": "red dragon"}' $at/api/v1/ai/generate | grep -q '"status":"succeeded"'

say reload, of good settings and bad ones
cp $settings /tmp/good.toml
echo 'max_queue = 99' >>$settings
systemctl reload gfedge
logged 'max_queue: 256 -> 99'
echo 'max_qeue = 9' >>$settings
refused systemctl reload gfedge
logged 'did you mean max_queue'
cp /tmp/good.toml $settings
[ "$(show ActiveState)" = active ]

say kill -9
pid=$(show MainPID)
kill -9 "$pid"
came_back "$pid"
answers
curl -sf $at/api/v1/ml-platform/ai-jobs | grep -q '"status":"succeeded"'

say an event loop that stands still
pid=$(show MainPID)
kill -STOP "$pid"
came_back "$pid"
answers

say the nightly backup
systemctl start gfedge-backup
systemctl is-active --quiet gfedge-backup.timer
ls -d /var/lib/gfedge/backups/nightly-*
sudo -u gfedge GFEDGE_CONFIG=$settings GFEDGE_DATA=/var/lib/gfedge "$program" doctor | tail -n 1

say settings that cannot be used are not tried again
echo 'max_qeue = 9' >>$settings
refused systemctl restart gfedge
sleep 5
[ "$(show ActiveState) $(show NRestarts)" = 'failed 0' ]
cp /tmp/good.toml $settings
systemctl reset-failed gfedge
systemctl start gfedge
answers

say stop
systemctl stop gfedge
[ "$(show Result) $(show ExecMainStatus)" = 'success 0' ]
say all held
