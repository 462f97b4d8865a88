"""Networks that others have written: of timm, torchvision, transformers, and of users."""
