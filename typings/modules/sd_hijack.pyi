from modules.textual_inversion.textual_inversion import EmbeddingDatabase

class StableDiffusionModelHijack:
    embedding_db: EmbeddingDatabase
    comments: list[str]

model_hijack: StableDiffusionModelHijack
