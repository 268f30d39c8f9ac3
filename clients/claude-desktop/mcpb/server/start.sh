#!/bin/sh
# start.sh AGENTFLOW CONFIG: become the gateway over stdio, or say on stderr what is missing.
set -eu
agentflow=$1
config=$2
if [ ! -x "$agentflow" ]; then
    echo "agentflow: there is no command at $agentflow; run 'make install', then set its path in the extension" >&2
    exit 127
fi
if [ ! -r "$config" ]; then
    echo "agentflow: cannot read the configuration $config; set its path in the extension" >&2
    exit 2
fi
exec "$agentflow" serve --stdio --config "$config"
