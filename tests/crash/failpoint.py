"""A place in the product at which a process is to be killed.

The product knows nothing of it: a function or a method of it is wrapped, in a process that a test
started. This module imports nothing of the product, for it is loaded as a process starts.
"""

import asyncio
import functools
import inspect
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Failpoint:
    """The moment before a call, or after it.

    Attributes:
        at: `module:Class.method` or `module:function`, of where it is looked up.
        after: it has returned; else it is about to be called.
        of: a regular expression: only calls whose arguments match it, as `repr` shows them.
        nth: of those, counted from 1.
    """

    at: str
    after: bool = False
    of: str = ""
    nth: int = 1

    def arm(self, strike: Callable[[], None]) -> None:
        """Have `strike` called in that moment, once in this process."""
        owner, name, found = self._find()
        is_bound = isinstance(found, classmethod | staticmethod)
        bare = found.__func__ if is_bound else found
        count = itertools.count(1)

        def is_reached(*arguments: Any) -> bool:
            return bool(re.search(self.of, repr(arguments))) and next(count) == self.nth

        if inspect.iscoroutinefunction(bare):

            @functools.wraps(bare)
            async def wrapped(*args: Any, **options: Any) -> Any:
                is_here = is_reached(args, options)
                if is_here and not self.after:
                    strike()
                    # where only a task was struck, it ends here
                    await asyncio.sleep(0)
                result = await bare(*args, **options)
                if is_here and self.after:
                    strike()
                    await asyncio.sleep(0)
                return result

        else:

            @functools.wraps(bare)
            def wrapped(*args: Any, **options: Any) -> Any:
                is_here = is_reached(args, options)
                if is_here and not self.after:
                    strike()
                result = bare(*args, **options)
                if is_here and self.after:
                    strike()
                return result

        setattr(owner, name, type(found)(wrapped) if is_bound else wrapped)

    def _find(self) -> tuple[Any, str, Any]:
        module, _, path = self.at.partition(":")
        owner: Any = import_module(module)
        *outer, name = path.split(".")
        for one in outer:
            owner = getattr(owner, one)
        return owner, name, inspect.getattr_static(owner, name)
