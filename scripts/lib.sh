# shellcheck shell=bash
# What the other scripts share; they source it. Bash 3.2 will do, which is what macOS has.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

in_colour() { # in_colour CODE TEXT: to stderr, whose colours are for people only
  if [ -t 2 ]; then printf '\033[%sm%s\033[0m\n' "$1" "$2" >&2; else printf '%s\n' "$2" >&2; fi
}
say() { in_colour 1 "==> $*"; }
loud() { in_colour '1;33' "$*"; }
fail() {
  in_colour '1;31' "error: $*"
  exit 1
}

random_hex() { od -An -tx1 -N24 /dev/urandom | tr -d ' \n'; }

# --- ports ---

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port FILE FIRST: the port kept in FILE unless somebody has it now, else the next free one from
# FIRST; kept in FILE, so that addresses stay the same from one start to the next.
port() {
  local number
  number=$(cat "$1" 2>/dev/null || true)
  if [ -z "$number" ] || port_taken "$number"; then
    number=$2
    while port_taken "$number"; do number=$((number + 1)); done
  fi
  printf '%s\n' "$number" | tee "$1"
}

# --- connection URLs ---

# with_database URL NAME
with_database() { printf '%s\n' "$1" | sed -E "s#^([a-z]+://[^/?]*)(/[^?]*)?#\\1/$2#"; }
# with_login URL NAME PASSWORD
with_login() { printf '%s\n' "$1" | sed -E "s#^([a-z]+://)([^@/]*@)?#\\1$2:$3@#"; }

# --- processes: whatever was started here is stopped by stop_all, also in the middle of a step ---

started=()

# Each line to the terminal with the name of who said it. It outlives a Ctrl-C, to show last words.
prefixed() {
  local line
  trap '' INT TERM HUP
  while IFS= read -r line; do printf '%-7s| %s\n' "$1" "$line"; done
}

# start NAME COMMAND...: in the background, its output prefixed; its process id is then in $!.
start() {
  local name=$1
  shift
  "$@" > >(prefixed "$name" >&2) 2>&1 </dev/null &
  started+=("$!")
}

# run COMMAND...: to its end, yet in the background: bash sets a signal's trap off only between
# foreground commands, and a build is long.
run() {
  local status=0
  "$@" </dev/null &
  started+=("$!")
  wait "$!" || status=$?
  unset "started[$((${#started[@]} - 1))]"
  return "$status"
}

descendants() {
  local child
  for child in $(ps -A -o pid=,ppid= | awk -v parent="$1" '$2 == parent { print $1 }'); do
    descendants "$child"
    echo "$child"
  done
}

stop_all() {
  local pid pids=() tries=0
  for pid in ${started[@]+"${started[@]}"}; do
    # shellcheck disable=SC2207 # process ids hold no blanks
    pids+=("$pid" $(descendants "$pid"))
  done
  started=()
  [ ${#pids[@]} -gt 0 ] || return 0
  kill -TERM "${pids[@]}" 2>/dev/null || true
  while kill -0 "${pids[@]}" 2>/dev/null && [ $tries -lt 80 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  kill -KILL "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
}

# Calls `cleanup`, which the script defines, however the script ends.
cleanup_at_exit() {
  trap 'status=$?; trap "" INT TERM HUP; set +e; cleanup; exit "$status"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# only_one FILE WHAT: FILE holds the process id of the one WHAT that may run at a time.
only_one() {
  local pid
  pid=$(cat "$1" 2>/dev/null || true)
  # After a reboot the number may be somebody else's.
  if [ -n "$pid" ] && ps -p "$pid" -o args= 2>/dev/null | grep -q "scripts/"; then
    fail "$2 is already running here (process $pid); stop it first"
  fi
  echo $$ >"$1"
}

# --- packages ---

# install_packages NAME...: by apt, as root or with sudo without a password. A Debian package starts
# its server at once and at every boot; two files of ours, there only meanwhile, forbid the first,
# and disabling the unit the second. Fails where that can't be done.
install_packages() {
  local as_root=() policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || return 1
    as_root=(sudo -n)
  fi
  say "installing $*"
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive bash -euo pipefail -s -- "$policy" "$clusters" "$@" >&2 <<'ROOT'
policy=$1 clusters=$2
shift 2
ours=()
trap 'rm -f "${ours[@]}"' EXIT
if ! [ -e "$policy" ]; then
  ours+=("$policy")
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
if ! dpkg -s postgresql-common >/dev/null 2>&1; then
  mkdir -p "$clusters"
  ours+=("$clusters/personal-crm.conf")
  echo 'create_main_cluster = false' >"$clusters/personal-crm.conf"
fi
had_redis=$(command -v redis-server || true)
apt-get update -qq </dev/null
apt-get install -qq -y --no-install-recommends "$@" </dev/null >/dev/null
if [ -z "$had_redis" ] && [ -d /run/systemd/system ]; then
  systemctl disable redis-server 2>/dev/null || true
fi
ROOT
}

# closing_lines FILE: the end of a test runner's output, without colours: nextest's from its summary
# on, the results of cargo's own.
closing_lines() {
  sed $'s/\033\\[[0-9;]*m//g' "$1" | awk '/^ *Summary \[/ { closing = 1 } closing || /^test result:/'
}

# browser_closing_lines FILE: the same of Playwright's: what failed and how many passed, then where the pictures are.
browser_closing_lines() {
  sed $'s/\033\\[[0-9;]*[A-Za-z]//g' "$1" |
    awk '/^ *[0-9]+ (passed|failed|flaky|skipped|did not run|interrupted)/ { closing = 1 } closing'
}

has_node() { command -v node >/dev/null && command -v npm >/dev/null; }

# The browser that the browser tests drive; CHROMIUM names another.
find_chromium() {
  local name
  for name in ${CHROMIUM:+"$CHROMIUM"} chromium google-chrome google-chrome-stable chromium-browser \
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome' /Applications/Chromium.app/Contents/MacOS/Chromium; do
    ! command -v "$name" 2>/dev/null || return 0
  done
  return 1
}

# --- mail ---

# start_maildev DIRECTORY MAILS SMTP_PORT WEB_PORT: a mail server with a web page, from npm, kept in
# DIRECTORY, on the next free ports; sets smtp_url and mailbox_url. Fails where npm can't bring it.
start_maildev() {
  local program=$1/maildev/node_modules/.bin/maildev smtp web tries=0
  has_node || return 1
  if ! [ -x "$program" ]; then
    say "installing a local mailbox"
    run npm install --prefix "$1/maildev" --no-audit --no-fund --loglevel=error --fetch-retries=0 \
      --fetch-timeout=20000 maildev@2.2.1 >&2 || return 1
    [ -x "$program" ] || return 1
  fi
  smtp=$(port "$1/smtp.port" "$3")
  web=$(port "$1/mailbox.port" "$4")
  start mail "$program" --ip 127.0.0.1 --web-ip 127.0.0.1 --smtp "$smtp" --web "$web" --mail-directory "$2"
  until port_taken "$smtp" && port_taken "$web"; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || return 1
    sleep 0.1
  done
  # shellcheck disable=SC2034 # both are for the caller
  smtp_url=smtp://127.0.0.1:$smtp
  # shellcheck disable=SC2034
  mailbox_url=http://127.0.0.1:$web
}

# --- single sign-on ---

# start_identity_provider DIRECTORY PORT REDIRECT_URIS: an OpenID provider, from npm, on the next free
# port; sets identity_provider_url. Fails where npm can't bring it.
start_identity_provider() {
  local program=$root/tests/identity-provider number tries=0
  has_node || return 1
  if ! [ -d "$program/node_modules/oidc-provider" ]; then
    say "installing an identity provider"
    run npm ci --prefix "$program" --no-audit --no-fund --loglevel=error --fetch-retries=0 \
      --fetch-timeout=20000 >&2 || return 1
  fi
  number=$(port "$1/identity-provider.port" "$2")
  PORT=$number REDIRECT_URIS=$3 start idp node "$program/server.mjs"
  until port_taken "$number"; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || return 1
    sleep 0.1
  done
  # shellcheck disable=SC2034 # for the caller
  identity_provider_url=http://127.0.0.1:$number
}

# --- the product ---

# The binaries of a development build, or those that CRM_BIN_DIR names, which are then not built.
build() {
  if [ -n "${CRM_BIN_DIR:-}" ]; then
    bin=$CRM_BIN_DIR
    return
  fi
  say "building"
  run cargo build --manifest-path "$root/Cargo.toml" --workspace --bins --locked || fail "the build failed"
  bin=$(target_directory)/debug
}

target_directory() {
  cargo metadata --manifest-path "$root/Cargo.toml" --format-version 1 --no-deps --locked |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Passwords and keys of this checkout's own, made once.
secrets() {
  if ! [ -s "$1" ]; then
    (
      umask 077
      {
        echo "ROOT_KEYS=1:$(head -c 32 /dev/urandom | base64)"
        echo "API_PASSWORD=$(random_hex)"
        echo "WORKER_PASSWORD=$(random_hex)"
      } >"$1"
    )
  fi
  # shellcheck disable=SC1090
  . "$1"
}

# product_environment PORT: the environment of both binaries, in development.
product_environment() {
  export APP_ENV=development REDIS_URL ROOT_KEYS
  export LISTEN_ADDRESS="127.0.0.1:$1" PUBLIC_URL="http://localhost:$1"
  export MAIL_FROM="${MAIL_FROM:-Personal CRM <crm@example.test>}"
}

# migrate_database ADMIN_URL LOGIN_SUFFIX: the schema, and a login role for each binary. Each
# process then gets the one URL that it needs, and never the administrator's.
migrate_database() {
  MIGRATION_DATABASE_URL="$1" run "$bin/migrate" up || fail "the migration failed"
  MIGRATION_DATABASE_URL="$1" LOGIN_PASSWORD="$API_PASSWORD" run "$bin/migrate" login api "crm_api_$2" ||
    fail "could not make the api's login role"
  MIGRATION_DATABASE_URL="$1" LOGIN_PASSWORD="$WORKER_PASSWORD" run "$bin/migrate" login worker "crm_worker_$2" ||
    fail "could not make the worker's login role"
  api_database=$(with_login "$1" "crm_api_$2" "$API_PASSWORD")
  worker_database=$(with_login "$1" "crm_worker_$2" "$WORKER_PASSWORD")
}

api() { DATABASE_URL="$api_database" exec "$bin/api" "$@"; }
worker() { DATABASE_URL="$worker_database" exec "$bin/worker" "$@"; }

start_api() {
  local tries=0 pid
  start api api serve
  pid=$!
  until curl -fsS -m 5 -o /dev/null "$PUBLIC_URL/readyz" 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null || fail "the api stopped while starting"
    tries=$((tries + 1))
    [ $tries -lt 300 ] || fail "the api was not ready within a minute"
    sleep 0.2
  done
}

demo_token() {
  token=$(api token --email demo@example.test | tail -n 1) || true
  [ -n "$token" ] || fail "could not mint a token for demo@example.test"
}
