"""Load tests and runs by the machines of a Dask cluster."""
