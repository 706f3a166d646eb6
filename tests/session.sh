# What the blocks of a page find in their shell (tests/test_commands.py): programs that fail where a reader would see an
# error, and `gfedge serve` and `make run` in the background.
set -eEo pipefail
server=

curl() { command curl -sS --fail-with-body --retry 3 --retry-connrefused "$@"; }
jq() { command jq -e "$@"; }
sudo() { "$@"; }

make() {
  case "$1" in
    run) [ -n "$GFEDGE_SHARED" ] || serve serve ;;
    test | check) ;; # they are running
    *) echo "make $1 is not there for pages: say why it is not run" >&2; return 1 ;;
  esac
}

gfedge() {
  if [ "$1" = serve ]; then serve "$@"; else command gfedge "$@"; fi
}

serve() { # the one before is stopped; it has answered when this returns
  stop
  case " $* " in
    *" --host "*) unset GFEDGE_SERVER ;; # what is for readers to say
    *) export GFEDGE_SERVER="http://127.0.0.1:$GFEDGE_PORT" ;;
  esac
  command gfedge "$@" >"$HOME/.serve.log" 2>&1 &
  server=$!
  until grep -q " on http" "$HOME/.serve.log"; do
    kill -0 "$server" 2>/dev/null || { cat "$HOME/.serve.log"; return 1; }
    sleep 0.05
  done
}

stop() {
  if [ -n "$server" ]; then kill "$server" && wait "$server" || true; fi
  server=
}

end() {
  code=$?
  set +e
  stop
  exit "$code"
}
trap end EXIT
