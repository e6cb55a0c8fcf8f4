"""scikit-learn's rules for an estimator's parameters, without scikit-learn: the constructor only stores."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

Self = TypeVar("Self", bound="Estimator")


class Estimator:
    """Gives ``get_params``, ``set_params``, ``clone`` and a ``repr`` to a class whose constructor only stores."""

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name; ``deep`` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self: Self, **params: Any) -> Self:
        """Set parameters by name and return the estimator itself.

        Raises
        ------
        ValueError
            For a name that is no parameter; nothing is set then.
        """
        known = self._defaults()
        for name in params:
            if name not in known:
                raise ValueError(f"{name} is no parameter of {type(self).__name__}; it has {', '.join(known)}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def clone(self: Self) -> Self:
        """Return an unfitted estimator with the same parameters."""
        return type(self)(**self.get_params())

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if getattr(self, name) != default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"
