"""One file per detector, each an entry point of `ilk.detectors`; a stranger's go the same way."""
