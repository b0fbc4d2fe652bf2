"""Load tests by the machines of a Dask cluster."""
