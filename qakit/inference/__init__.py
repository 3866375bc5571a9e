"""From a trained model to predictions: scores, n-best, the question-answering API."""
