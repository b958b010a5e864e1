#!/bin/sh
# Speed of the training input of bagpipe and of Python's libraries side by side on this
# machine, in turns, so that whatever else runs here hits all alike:
#
#   bench/torch/input_side_by_side.sh PICTURES SHARDS [ROUNDS]        (5 rounds)
#
# PICTURES is a folder of JPEGs, SHARDS what shardify made of the same pictures. Each
# round runs `pipe bench` and every chain of input_peers.py that can be imported (Debian:
# python3-torch, python3-torchvision, python3-pil, python3-opencv; PyPI: PyTurboJPEG),
# with 1 and with 2 workers. It prints each run and then the medians: images a second by
# the clock, and CPU milliseconds (user + system, child processes too) an image, which
# say more where the machine is shared. PYTHON, IMAGES, WORKERS and CHAINS may be set.
set -eu
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
pictures=$(realpath "$1") shards=$(realpath "$2") rounds=${3:-5}
cd "$(dirname "$0")/.."
python=$(torch/python.sh) || exit 1
images=${IMAGES:-640}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -buildvcs=false -o "$work/pipe" ../cmd/pipe
chains=
for chain in ${CHAINS:-torchvision pillow opencv turbojpeg}; do
	if "$python" torch/input_peers.py "$chain" "$pictures" --workers 0 --images 1 --batch 1 >"$work/try" 2>&1; then
		chains="$chains $chain"
	else
		echo "left out: $chain: $(tail -n 1 "$work/try")" >&2
	fi
done
for round in $(seq "$rounds"); do
	for workers in ${WORKERS:-1 2}; do
		"$work/pipe" bench --data "$shards" --workers "$workers" --images "$images" -q |
			awk -v w="$workers" '/CPU ms an image/ { print "bagpipe", w, $6, "img/s", $8, "cpu-ms/img" }'
		for chain in $chains; do
			"$python" torch/input_peers.py "$chain" "$pictures" --workers "$workers" --images "$images"
		done
	done
done | tee "$work/log"
awk '
function median(a, n,   i, j, t) {
	for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j-1]; j--) { t = a[j]; a[j] = a[j-1]; a[j-1] = t }
	return n % 2 ? a[(n+1)/2] : (a[n/2] + a[n/2+1]) / 2
}
{ k = $2 SUBSEP $1; if (!n[k]++) order[++rows] = k; wall[k, n[k]] = $3; cpu[k, n[k]] = $5 }
END {
	printf "\n%-8s %-12s %10s %12s %10s %3s\n", "workers", "", "img/s", "CPU ms/img", "to bagpipe", "n"
	for (r = 1; r <= rows; r++) {
		k = order[r]; split(k, at, SUBSEP)
		for (i = 1; i <= n[k]; i++) { w[i] = wall[k, i]; c[i] = cpu[k, i] }
		m = median(c, n[k])
		if (at[2] == "bagpipe") own[at[1]] = m
		if (!own[at[1]]) { print "bagpipe measured nothing (see above)" > "/dev/stderr"; exit 1 }
		printf "%-8d %-12s %10.1f %12.2f %9.2fx %3d\n", at[1], at[2], median(w, n[k]), m, m / own[at[1]], n[k]
	}
}' "$work/log"
