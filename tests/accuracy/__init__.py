"""How wrong is each tool? The same loads on the same fake libnvidia-ml.so.1, through energybench and its peers."""
