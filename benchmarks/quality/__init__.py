"""What compressing models costs in quality: models with known answers, and how far apart two models are."""
