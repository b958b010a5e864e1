#!/bin/sh
# Prints the Python that has torch: PYTHON if that is set, else python3, else Debian's
# own, which another python3 may hide. Without one there is nothing to compare with.
# A name is imported, as a folder named torch alone can be imported too.
for python in ${PYTHON:-python3 /usr/bin/python3}; do
	if "$python" -c 'from torch import Tensor' 2>/dev/null; then
		echo "$python"
		exit
	fi
done
echo "bench/torch: ${PYTHON:-python3} cannot import torch: apt-get install python3-torch, or set PYTHON to an interpreter that has it" >&2
exit 1
