class State:
    interrupted: bool
    skipped: bool
    stopping_generation: bool
    sampling_step: int
    sampling_steps: int
    def begin(self, job: str = "(unknown)") -> None: ...
    def end(self) -> None: ...
