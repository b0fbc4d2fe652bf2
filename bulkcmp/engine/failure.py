"""What failed, where several tasks ended at once."""

from bulkcmp.errors import BulkcmpError


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of ours in a group, or else the first error that there is."""
    flat: list[BaseException] = []
    todo: list[BaseException] = [errors]
    while todo:
        error = todo.pop(0)
        if isinstance(error, BaseExceptionGroup):
            todo.extend(error.exceptions)
        else:
            flat.append(error)
    return next((error for error in flat if isinstance(error, BulkcmpError)), flat[0])
