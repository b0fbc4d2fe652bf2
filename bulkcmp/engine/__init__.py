"""What drives transactions: one of them (`driver`), a worker's many (`worker`), a run (`run`)."""
