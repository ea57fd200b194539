"""TV-L1 presets: what each OpenCV release computes, as data."""

from dataclasses import dataclass

from converter.errors import PytsnError

#: the preset whose images the released flow models were trained and tested on
DEFAULT_PRESET = "opencv2.4-cuda"


@dataclass(frozen=True)
class Preset:
    """One variant of TV-L1 flow; the constants are OpenCV's defaults, which dense_flow never changed.

    ``solver``: "cuda" is the scheme of ``tvl1_solver``, "optflow" that of ``optflow_cpu``, which has its own constants.
    ``pyramid``: "pyrdown" (blur, halve) or "bilinear" (resize by ``scale`` without blur). ``upsampling``: where the
    finer grid reads the coarser flow, "half-pixel" ((dst + .5) f - .5) or "corner" (dst f).
    """

    name: str
    releases: str
    solver: str = "cuda"
    pyramid: str = "pyrdown"
    scale: float = 0.5
    upsampling: str = "half-pixel"
    levels: int = 5
    min_side: int = 16
    warps: int = 5
    max_iterations: int = 300
    tau: float = 0.25
    lam: float = 0.15
    theta: float = 0.3
    epsilon: float = 0.01

    def stopping_error(self, height: int, width: int) -> float:
        """S: a warp ends once the squared change of the flow, summed over the pixels, is at most this (pixels^2)."""
        return self.epsilon**2 * height * width


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("opencv2.4-cuda", "2.4.10 to 2.4.13.7, gpu module"),
        Preset("opencv2.4.9-cuda", "2.4.7 to 2.4.9, gpu module", upsampling="corner"),
        Preset("opencv3-cuda", "3.0 to 3.4, cudaoptflow", pyramid="bilinear", scale=0.8, upsampling="corner"),
        Preset("opencv-cpu", "3.x and 4.x, optflow on the CPU", solver="optflow", pyramid="resize", scale=0.8),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises PytsnError that lists the names for any other."""
    if name not in PRESETS:
        raise PytsnError(f"TV-L1 preset {name!r} is unknown; use one of {', '.join(PRESETS)}")
    return PRESETS[name]
