#!/usr/bin/env bash
# Times commands in turn, so that all meet the same machine, and prints the median of each and their ratios to the first.
#
#   assets/benchmarks/in_turn.sh ROUNDS 'command one' 'command two' …
#
# Every command must print a line `median step … ms`.
set -euo pipefail
rounds="$1"
shift
declare -A times
for ((round = 1; round <= rounds; round++)); do
    index=0
    for command in "$@"; do
        index=$((index + 1))
        found="$(bash -c "$command" 2>/dev/null | sed -n 's/^median step \([0-9.]*\) ms.*/\1/p')"
        times[$index]+="$found "
        printf 'round %d, command %d: %s ms\n' "$round" "$index" "$found"
    done
done
index=0
first=""
for command in "$@"; do
    index=$((index + 1))
    median="$(tr ' ' '\n' <<<"${times[$index]}" | sed '/^$/d' | sort -n | sed -n "$(((rounds + 1) / 2))p")"
    first="${first:-$median}"
    printf '%8.1f ms  %5.3f  %s\n' "$median" "$(bc -l <<<"$median / $first")" "$command"
done
