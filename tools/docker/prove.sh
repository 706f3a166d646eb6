#!/bin/sh
# Builds the image, runs it and docker-compose.yml as the documentation says, and tries what a user would. Needs Docker with compose, and curl.
#   tools/docker/prove.sh            with the bases from their registry
#   tools/docker/prove.sh DEBIAN     where there is none: a Debian of debootstrap's stands for them, which shows all but the true bases
#     debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,prometheus bookworm DEBIAN
# CUDA=1 proves the image for GPUs; where there is none, it has to say so and to run on the CPU. BUILD has more options of `docker build`.
set -eu
cd "$(dirname "$0")/../.."
debian=${1:-}
compose() { if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi; }
say() { echo "== $*"; }
until_is() { for _ in $(seq 60); do [ "$($2)" = "$1" ] && return; sleep 1; done; echo "$2 is $($2), not $1" >&2; exit 1; }
health() { docker inspect --format '{{.State.Health.Status}}' gfedge-proof; }

if [ -n "$debian" ]; then
  say "bases of $debian"
  ln -sf python3 "$debian/usr/bin/python"
  export PYTHON=gfedge-base PROMETHEUS=gfedge-prometheus GRAFANA=gfedge-grafana
  tar -C "$debian" --one-file-system -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' - $PYTHON
  docker build -q -t $PROMETHEUS - <<'END'
FROM gfedge-base
RUN install -d -o nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
  docker build -q -t $GRAFANA - <<'END'
FROM gfedge-base
USER 472
ENTRYPOINT ["sleep", "infinity"]
END
fi

say build
# shellcheck disable=SC2086 - a word for each option
docker build -q -t gfedge ${PYTHON:+--build-arg PYTHON=$PYTHON} ${CUDA:+--build-arg CUDA=$CUDA} ${BUILD:-} .
docker images gfedge

say run, read-only and as nobody in particular
trap 'docker rm -f gfedge-proof >/dev/null 2>&1; docker volume rm gfedge-proof >/dev/null 2>&1; compose -p gfedge-proof --profile prometheus --profile grafana down -v >/dev/null 2>&1' EXIT
docker run -d --name gfedge-proof -p 127.0.0.1::8000 -v gfedge-proof:/data --read-only --tmpfs /tmp gfedge >/dev/null
until_is healthy health
docker exec gfedge-proof sh -c 'id; ! touch /opt/x && touch /data/x && rm /data/x'
docker exec gfedge-proof gfedge selftest
token=$(docker exec gfedge-proof cat /data/admin-token)
ask() { curl -sf -H "Authorization: Bearer $token" "http://$(docker port gfedge-proof 8000)/api/v1/$1" ${2:+--json "$2"} -H 'Prefer: wait=60'; }
ask ai/generate '{"prompt": "red dragon", "seed": 1}' | grep -q '"status":"succeeded"'
docker logs gfedge-proof 2>&1 | grep -E 'running on (CPU|CUDA)'
if [ -n "${CUDA:-}" ]; then
  say every CUDA library is in it and loads
  docker exec gfedge-proof python -c 'from gfedge.inference import cuda
found = cuda.load("")
print(*found, sep="\n")
raise SystemExit(cuda.missing(found, "") or not found)'
fi

say stop, kill -9, and the job is there
docker stop -t 30 gfedge-proof >/dev/null
[ "$(docker inspect --format '{{.State.ExitCode}}' gfedge-proof)" = 0 ]
docker start gfedge-proof >/dev/null
until_is healthy health
docker kill gfedge-proof >/dev/null
docker start gfedge-proof >/dev/null
until_is healthy health
ask ml-platform/ai-jobs | grep -q '"status":"succeeded"'

say compose with Prometheus, twice
export GFEDGE_PUBLISH=127.0.0.1:0
compose -p gfedge-proof --profile prometheus up -d
compose -p gfedge-proof --profile prometheus up -d
up() { curl -s 'http://127.0.0.1:9090/api/v1/query?query=up' | sed -n 's/.*"instance":"gfedge:8000".*"\([01]\)"\].*/\1/p'; }
until_is 1 up
[ "$(compose -p gfedge-proof exec -T gfedge gfedge token list | grep -c ' valid ')" = 3 ]

if [ -n "$debian" ]; then
  say "compose with Grafana: its user reads what provisioning names, and what that names answers"
  compose -p gfedge-proof --profile grafana up -d
  compose -p gfedge-proof exec -T grafana python3 - <<'END'
import json, pathlib, re, urllib.request

provisioning = pathlib.Path("/etc/grafana/provisioning")
source = (provisioning / "datasources/gfedge.yaml").read_text()
folder = re.search(r"path: (\S+)", (provisioning / "dashboards/gfedge.yaml").read_text())[1]
print(*(json.loads(path.read_text())["title"] for path in sorted(pathlib.Path(folder).glob("*.json"))), sep=", ")
token = pathlib.Path(re.search(r"\$__file{(.*)}", source)[1]).read_text().strip()
asked = urllib.request.Request(re.search(r"url: (\S+)", source)[1] + "/api/v1/query", b"query=up", {"Authorization": f"Bearer {token}"})
assert json.load(urllib.request.urlopen(asked))["data"]["result"]
END
fi
say all held
