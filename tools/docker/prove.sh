#!/bin/sh
# Builds the image, runs it and docker-compose.yml as the documentation says, and tries what a user would. Needs Docker with compose, and curl.
#   tools/docker/prove.sh            with the bases from their registry
#   tools/docker/prove.sh DEBIAN     where there is none: a Debian of debootstrap's stands for them, which shows all but the true bases
#     debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,prometheus bookworm DEBIAN
# BUILD has more options of `docker build`: BUILD='--network host --build-arg CUDA=1'
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
  export PYTHON=gfedge-base PROMETHEUS=gfedge-prometheus
  tar -C "$debian" --one-file-system -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' - $PYTHON
  docker build -q -t $PROMETHEUS - <<'END'
FROM gfedge-base
RUN install -d -o nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
fi

say build
# shellcheck disable=SC2086 - a word for each option
docker build -q -t gfedge ${PYTHON:+--build-arg PYTHON=$PYTHON} ${BUILD:-} .
docker images gfedge

say run, read-only and as nobody in particular
trap 'docker rm -f gfedge-proof >/dev/null 2>&1; docker volume rm gfedge-proof >/dev/null 2>&1; compose -p gfedge-proof --profile prometheus down -v >/dev/null 2>&1' EXIT
docker run -d --name gfedge-proof -p 127.0.0.1::8000 -v gfedge-proof:/data --read-only --tmpfs /tmp gfedge >/dev/null
until_is healthy health
docker exec gfedge-proof sh -c 'id; ! touch /opt/x && touch /data/x && rm /data/x'
docker exec gfedge-proof gfedge selftest
token=$(docker exec gfedge-proof cat /data/admin-token)
ask() { curl -sf -H "Authorization: Bearer $token" "http://$(docker port gfedge-proof 8000)/api/v1/$1" ${2:+--json "$2"} -H 'Prefer: wait=60'; }
ask ai/generate '{"prompt": "red dragon", "seed": 1}' | grep -q '"status":"succeeded"'

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
say all held
