from modules.textual_inversion.textual_inversion import EmbeddingDatabase

class StableDiffusionModelHijack:
    embedding_db: EmbeddingDatabase
    comments: list[str]
    circular_enabled: bool
    def apply_circular(self, enable: bool) -> None:
        """Has convolutions wrap around, for pictures that tile."""

model_hijack: StableDiffusionModelHijack
