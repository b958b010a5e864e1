#!/bin/sh
# Training speed of bagpipe and PyTorch side by side on this machine, in turns, so
# that whatever else runs here hits both alike. Run from anywhere in the repository:
#
#   bench/torch/side_by_side.sh [ROUNDS]        (5 rounds; Debian: python3-torch)
#
# Both run whole steps (forward, backward, NAG) with two threads on the same shapes,
# PyTorch in the channels_last layout. It prints each round and then the medians:
# images a second by the clock, and CPU milliseconds (user + system) an image, which
# say more where the machine is shared. PYTHON, SECONDS_EACH, MODELS and OMP_WAIT_POLICY
# may be set; PYTHON must have torch, OMP_WAIT_POLICY=passive keeps PyTorch's threads
# from spinning.
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-5}
python=$(torch/python.sh) || exit 1
seconds=${SECONDS_EACH:-10}
models=${MODELS:-"cifar-resnet20:128:32 resnet50b:16:224"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go test -c -o "$work/bench" .
for job in $models; do
	model=${job%%:*} rest=${job#*:}
	batch=${rest%:*} size=${rest#*:}
	for round in $(seq "$rounds"); do
		GOMAXPROCS=2 "$work/bench" -test.run '^$' -test.bench "^BenchmarkStep$/^$model\$" -test.benchtime "${seconds}s" |
			awk -v m="$model" '/img\/s/ { for (i = 2; i <= NF; i++) { if ($i == "img/s") w = $(i-1); if ($i == "cpu-ms/img") c = $(i-1) } print "bagpipe", m, w, c }'
		"$python" torch/speed.py "$model" "$batch" "$size" "$seconds" nhwc |
			awk -v m="$model" '{ for (i = 2; i <= NF; i++) { if ($i ~ /^img\/s/) w = $(i-1); if ($i ~ /^cpu-ms\/img/) c = $(i-1) } print "pytorch", m, w, c }'
	done
done | tee "$work/log"
awk '
function median(a, n,   i, j, t) {
	for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j-1]; j--) { t = a[j]; a[j] = a[j-1]; a[j-1] = t }
	return n % 2 ? a[(n+1)/2] : (a[n/2] + a[n/2+1]) / 2
}
{ k = $1 SUBSEP $2; n[k]++; wall[k, n[k]] = $3; cpu[k, n[k]] = $4; if (!($2 in seen)) { seen[$2]; order[++models] = $2 } }
END {
	if (!models) exit 1
	printf "\n%-16s %-8s %10s %12s %3s\n", "model", "", "img/s", "CPU ms/img", "n"
	for (m = 1; m <= models; m++) {
		for (s = 1; s <= 2; s++) {
			side = s == 1 ? "bagpipe" : "pytorch"; k = side SUBSEP order[m]
			if (!n[k]) { print side " measured nothing for " order[m] " (see above)" > "/dev/stderr"; exit 1 }
			for (i = 1; i <= n[k]; i++) { w[i] = wall[k, i]; c[i] = cpu[k, i] }
			mw[s] = median(w, n[k]); mc[s] = median(c, n[k])
			printf "%-16s %-8s %10.2f %12.2f %3d\n", order[m], side, mw[s], mc[s], n[k]
		}
		printf "%-16s %-8s %9.2fx %11.2fx\n", order[m], "ratio", mw[1] / mw[2], mc[2] / mc[1]
	}
}' "$work/log"
