#!/bin/sh
# Written by Medicarche; changes are put back.
# What the instance itself uses, for the collector of text files: own-metrics FILE. In an instance that is a container
# /proc shows the host's processor and memory; what counts there are the instance's own control groups (version 1 or 2),
# in one that is a machine of its own /proc is right.
set -eu
# numbers with a point, whatever the instance's language
export LC_ALL=C
umask 022
target=$1
groups=${CGROUP_ROOT:-/sys/fs/cgroup}
proc=${PROC_ROOT:-/proc}
rounds=${ROUNDS:-0}

first() { # the first of these files that can be read
    for file in "$@"; do
        if [ -r "$groups/$file" ]; then
            cat "$groups/$file"
            return
        fi
    done
}
field() { # KEY FILE...: the value of a line "KEY value" in the first of these files that has one
    key=$1
    shift
    for file in "$@"; do
        if [ -r "$groups/$file" ]; then
            awk -v key="$key" '$1 == key { print $2; exit }' "$groups/$file"
            return
        fi
    done
}

while :; do
    total=$(awk '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 }' "$proc/meminfo")
    used=$(first memory/memory.usage_in_bytes memory.current)
    if [ -n "$used" ]; then
        cache=$(field total_inactive_file memory/memory.stat)
        [ -n "$cache" ] || cache=$(field inactive_file memory.stat)
        used=$(awk -v used="$used" -v cache="${cache:-0}" 'BEGIN { left = used - cache; printf "%.0f", (left > 0 ? left : 0) }')
    else
        used=$(awk '$1 == "MemTotal:" { all = $2 } $1 == "MemAvailable:" { left = $2 }
            END { printf "%.0f", (all - left) * 1024 }' "$proc/meminfo")
    fi
    limit=$(first memory/memory.limit_in_bytes memory.max)
    # "max", and version 1's 2^63 rounded to a page, mean that there is none
    limit=$(awk -v limit="${limit:-max}" -v total="$total" \
        'BEGIN { printf "%.0f", (limit == "max" || limit + 0 > total + 0) ? total : limit }')
    cpu=$(first cpuacct/cpuacct.usage)
    if [ -n "$cpu" ]; then
        cpu=$(awk -v cpu="$cpu" 'BEGIN { printf "%.3f", cpu / 1e9 }')
    else
        cpu=$(field usage_usec cpu.stat)
        if [ -n "$cpu" ]; then
            cpu=$(awk -v cpu="$cpu" 'BEGIN { printf "%.3f", cpu / 1e6 }')
        else
            cpu=$(awk -v hertz="$(getconf CLK_TCK)" \
                '$1 == "cpu" { printf "%.3f", ($2 + $3 + $4 + $7 + $8 + $9) / hertz; exit }' "$proc/stat")
        fi
    fi
    {
        echo "# HELP medicarche_memory_used_bytes Memory in use that can't be given back at once."
        echo "# TYPE medicarche_memory_used_bytes gauge"
        echo "medicarche_memory_used_bytes $used"
        echo "# HELP medicarche_memory_limit_bytes Memory that the instance may use."
        echo "# TYPE medicarche_memory_limit_bytes gauge"
        echo "medicarche_memory_limit_bytes $limit"
        echo "# HELP medicarche_cpu_seconds_total Seconds of processor that the instance has used."
        echo "# TYPE medicarche_cpu_seconds_total counter"
        echo "medicarche_cpu_seconds_total $cpu"
    } > "$target.$$"
    # the agent never reads half a file, nor takes the temporary one for one of its own
    mv "$target.$$" "$target"
    rounds=$((rounds - 1))
    [ "$rounds" -ne 0 ] || exit 0
    sleep 15
done
