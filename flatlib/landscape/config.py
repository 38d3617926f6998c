"""What is looked at around a found architecture. Needs no torch."""

from dataclasses import dataclass

from flatlib.run.config import Parameters, parameter


@dataclass(frozen=True)
class LandscapeConfig(Parameters):
    """Images, Hessian, plane and discrete neighbors; the batch size is the search's."""

    n_valid: int = parameter(64, "validation images, in whole batches of the search's size; 0: all", ge=0)
    grid: int = parameter(21, "points an axis of the plane, odd, so that (0, 0) is one of them", ge=3)
    reach: float = parameter(1.0, "largest lambda0 and lambda1, Sec. E", gt=0)
    distance: int = parameter(6, "largest distance of sampled discrete neighbors, edges of each cell type", ge=1, le=14)
    n_discrete: int = parameter(20, "discrete neighbors sampled at each distance", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid % 2 == 0:
            raise ValueError(f"grid = {self.grid}: allowed: 3, 5, 7, ..., so that (0, 0) is a point of the grid")

    @property
    def coarse(self) -> int:
        """Points an axis of the random plane: enough for a comparison."""
        return self.grid // 4 * 2 + 1
