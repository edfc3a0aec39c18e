"""How long the command line takes to answer: `aeqlab --help` and `aeqlab check`, beside a bare interpreter and numpy.

python benchmarks/startup.py [repeats]
"""

from __future__ import annotations

import os
import sys

from _bench import Bench, command, repeats_from

if __name__ == "__main__":
    bench = Bench("startup")
    aeqlab = ("-m", "aeqlab.app.cli")
    images = ("aeqlab check mnist-dense", command(*aeqlab, "check", "mnist-dense"), "under 1 s")
    with_images = [images] if os.environ.get("AEQLAB_DATA") else []
    bench.compare(
        ("python -c pass", command("-c", "pass")),
        ("python -c 'import numpy'", command("-c", "import numpy"), ""),
        ("aeqlab --help", command(*aeqlab, "--help"), "under 0.3 s"),
        ("aeqlab check linear-regression", command(*aeqlab, "check", "linear-regression"), "under 1 s"),
        *with_images,
        repeats=repeats_from(sys.argv, 9),
    )
    bench.show()
