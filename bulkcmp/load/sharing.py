"""How workers share what may be in flight."""


def shares(total: int, workers: int) -> tuple[int, ...]:
    """A number in as many parts as there are workers, as equal as can be; none is 0."""
    workers = max(1, min(workers, total))
    each, more = divmod(total, workers)
    return tuple(each + (place < more) for place in range(workers))
