"""OpenCV's DualTVL1 in a separate environment, for flow_speed.py: needs only numpy and opencv-contrib-python.

    python flow_opencv.py PAIRS.npz       reads JSON lines {"epsilon": 0, ...} from stdin and answers each with a line

Parameters are named like DualTVL1's setters, in lower case with underscores; "save": .npy file for the flow.
"""

import json
import sys

import cv2
import numpy as np


def main() -> None:
    cv2.setNumThreads(1)
    with np.load(sys.argv[1], allow_pickle=False) as pairs:
        frames = list(zip(pairs["gray0"], pairs["gray1"], strict=True))
    print(json.dumps({"version": cv2.__version__, "has_tvl1": hasattr(cv2, "optflow")}), flush=True)
    for line in sys.stdin:
        options = json.loads(line)
        path = options.pop("save", None)
        tvl1 = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]  # in the contrib package alone
        for name, value in options.items():
            getattr(tvl1, "set" + name.title().replace("_", ""))(value)
        flow = [tvl1.calc(*pair, None) for pair in frames]
        if path:
            np.save(path, np.stack(flow))
        print("{}", flush=True)


if __name__ == "__main__":
    main()
